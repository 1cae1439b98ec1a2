#include "units.h"

#include <charconv>
#include <cmath>

#include "pith/base/error.h"

namespace pith::command {

std::string size_text(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  int unit = 0;
  for (; value >= 1023.95 && unit < 5; ++unit) value /= 1024;
  return fmt::format("{:.{}f} {}", value, value < 9.995 ? 2 : 1, kUnits[unit]);
}

std::string rate_text(uint64_t bytes, double seconds) {
  if (seconds <= 0) return "";
  const double rate = static_cast<double>(bytes) / 1e6 / seconds;
  return fmt::format("{:.{}f} MB/s", rate, rate < 9.95 ? 1 : 0);
}

std::string percent_text(uint64_t stored, uint64_t raw) {
  if (raw == 0) return "-";
  return fmt::format("{:.1f}%", 100.0 * static_cast<double>(stored) / static_cast<double>(raw));
}

std::string ratio_text(uint64_t raw, uint64_t stored) {
  if (raw == 0 || stored == 0) return "-";
  const double ratio = static_cast<double>(raw) / static_cast<double>(stored);
  return fmt::format("{:.{}f}", ratio, ratio < 99.95 ? 3 : 0);
}

std::string time_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e7) return "?";
  const auto s = static_cast<uint64_t>(std::lround(seconds));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

std::string count_text(uint64_t n, std::string_view noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

namespace {

// 0 for a unit that is none.
double unit_factor(std::string_view unit) {
  if (unit.empty() || unit == "B" || unit == "b") return 1;
  static constexpr std::string_view kLetters = "kmgt";
  const size_t power = kLetters.find(static_cast<char>(unit[0] | 0x20));
  if (power == std::string_view::npos) return 0;
  const std::string_view rest = unit.substr(1);
  const double n = static_cast<double>(power + 1);
  if (rest.empty() || rest == "iB" || rest == "ib" || rest == "i") return std::pow(1024.0, n);
  if (rest == "B" || rest == "b") return std::pow(1000.0, n);
  return 0;
}

bool whole_number(std::string_view text, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

uint64_t parse_size(std::string_view text, std::string_view option) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  const double factor = unit_factor(text.substr(static_cast<size_t>(end - text.data())));
  if (error != std::errc() || factor == 0 || value < 0 || value * factor > 9e18) {
    fail(ErrorKind::kUsage, "{}: '{}' is not a size (examples: 512MiB, 1.5G, 64k)", option, text);
  }
  return static_cast<uint64_t>(value * factor);
}

RowRange parse_rows(std::string_view text) {
  RowRange rows;
  const size_t colon = text.find(':');
  const std::string_view first = text.substr(0, colon);
  const std::string_view last =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  bool good = first.empty() || whole_number(first, rows.first);
  good = good && (last.empty() || whole_number(last, rows.last));
  if (colon == std::string_view::npos) {
    good = good && !first.empty() && rows.first != UINT64_MAX;
    rows.last = rows.first + 1;
  }
  if (!good || rows.first >= rows.last) {
    fail(ErrorKind::kUsage, "--rows: '{}' is not a range of rows (examples: 0:10, 5:, :100, 7)",
         text);
  }
  return rows;
}

}  // namespace pith::command
