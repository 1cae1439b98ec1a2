#include "bench_summary.h"

#include <fmt/core.h>

namespace pith::bench {
namespace {

// The smallest result of the codecs whose names begin so; null when none was measured.
const Measurement* find(const std::vector<Measurement>& rows, const std::string& name) {
  const Measurement* best = nullptr;
  for (const Measurement& m : rows) {
    const bool same = m.name == name || m.name.starts_with(name + ",");
    if (!same || m.name.ends_with("file to file")) continue;
    if (best == nullptr || m.coded < best->coded) best = &m;
  }
  return best;
}

using Show = Cell (*)(const Measurement&);

void add_table(const Summary& summary, const char* title, const std::vector<std::string>& codecs,
               Show show, Report& report) {
  std::vector<std::string> columns = {title};
  columns.insert(columns.end(), codecs.begin(), codecs.end());
  Table table(columns);
  for (size_t i = 0; i < summary.files.size(); ++i) {
    std::vector<Cell> row = {text(summary.files[i])};
    for (const std::string& codec : codecs) {
      const Measurement* const m = find(summary.rows[i], codec);
      row.push_back(m == nullptr ? none() : show(*m));
    }
    table.add(std::move(row));
  }
  report.table(table);
}

Cell size_ratio(const Measurement& m) {
  return ratio(static_cast<double>(m.raw) / static_cast<double>(m.coded));
}

Cell speeds(const Measurement& m) {
  const Cell encode = rate(m.raw, m.encode), decode = rate(m.raw, m.decode);
  return {encode.text + " / " + decode.text, {encode.value, decode.value}};
}

}  // namespace

void report_summary(const Summary& summary, Report& report) {
  report.section("Summary");
  add_table(summary, "ratio",
            {"pith fast", "pith default", "pith max", "ZipNN", "zstd -3", "zstd -19",
             "zstd --ultra -22 --long=27", "lz4", "lz4 -9", "brotli -q 5", "brotli -q 11", "xz -6"},
            size_ratio, report);
  add_table(summary, "compress / decompress MB/s",
            {"pith fast", "pith default", "pith max", "ZipNN", "zstd -3", "lz4"}, speeds, report);
}

}  // namespace pith::bench
