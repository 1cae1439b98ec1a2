#include "bench_report.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "bench_machine.h"

namespace pith::bench {

Cell text(const std::string& s) { return {s, s}; }
Cell count(uint64_t n) { return {fmt::format("{}", n), n}; }
Cell ratio(double r) { return {fmt::format("{:.4f}", r), r}; }
Cell number(double v, int digits) { return {fmt::format("{:.{}f}", v, digits), v}; }
Cell none() { return {"", nullptr}; }

Cell rate(uint64_t bytes, double seconds) {
  if (seconds <= 0) return none();
  const double mb = static_cast<double>(bytes) / seconds / 1e6;
  return number(mb, mb < 10 ? 2 : mb < 100 ? 1 : 0);
}

Cell change(double from, double to) {
  if (from <= 0) return none();
  return {fmt::format("{:+.2f}%", (to / from - 1) * 100), to / from - 1};
}

Cell seconds(double s) {
  if (s < 1e-3) return {fmt::format("{:.1f} us", s * 1e6), s};
  if (s < 1) return {fmt::format("{:.2f} ms", s * 1e3), s};
  return {fmt::format("{:.2f} s", s), s};
}

std::string Table::markdown() const {
  const auto escaped = [](std::string cell) {
    for (size_t at = cell.find('|'); at != cell.npos; at = cell.find('|', at + 2)) {
      cell.insert(at, 1, '\\');
    }
    return cell;
  };
  std::vector<size_t> width;
  for (size_t c = 0; c < columns_.size(); ++c) {
    width.push_back(std::max<size_t>(escaped(columns_[c]).size(), 3));
    for (const auto& row : rows_) width[c] = std::max(width[c], escaped(row[c].text).size());
  }
  std::string out;
  const auto line = [&](const auto& cell) {
    for (size_t c = 0; c < columns_.size(); ++c) {
      out += c == 0 ? fmt::format("| {:<{}} ", cell(c), width[c])
                    : fmt::format("| {:>{}} ", cell(c), width[c]);
    }
    out += "|\n";
  };
  line([&](size_t c) { return escaped(columns_[c]); });
  line([&](size_t c) {
    return c == 0 ? std::string(width[c], '-') : std::string(width[c] - 1, '-') + ":";
  });
  for (const auto& row : rows_) line([&](size_t c) { return escaped(row[c].text); });
  return out;
}

Json Table::json() const {
  Json rows = Json::array();
  for (const auto& row : rows_) {
    Json object;
    for (size_t c = 0; c < columns_.size(); ++c) object[columns_[c]] = row[c].value;
    rows.push_back(std::move(object));
  }
  return rows;
}

Report::Report(std::string benchmark, bool json) : json_(json) {
  document_["benchmark"] = std::move(benchmark);
  document_["sections"] = Json::array();
  section("Machine");
  for (const std::string& line : describe_machine()) note(line);
}

Json& Report::current() { return document_["sections"].back(); }

void Report::section(const std::string& title) {
  document_["sections"].push_back(
      {{"title", title}, {"notes", Json::array()}, {"tables", Json::array()}});
  if (!json_) fmt::print("\n### {}\n\n", title);
  std::fflush(stdout);
}

void Report::note(const std::string& line) {
  current()["notes"].push_back(line);
  if (!json_) fmt::print("- {}\n", line);
  std::fflush(stdout);
}

void Report::table(const Table& table) {
  status("");
  current()["tables"].push_back(table.json());
  if (!json_) fmt::print("\n{}\n", table.markdown());
  std::fflush(stdout);
}

void Report::status(const std::string& what) const {
  if (isatty(STDERR_FILENO) == 0) return;
  fmt::print(stderr, "\r\033[K{}", what);
  std::fflush(stderr);
}

void Report::finish() {
  status("");
  if (json_) fmt::print("{}\n", document_.dump(1));
}

}  // namespace pith::bench
