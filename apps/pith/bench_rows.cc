#include "bench_rows.h"

#include <fmt/core.h>

#include <algorithm>

namespace pith::bench {

void CodecRows::add(Measurement m) {
  if (m.error.empty())
    rows_.push_back(std::move(m));
  else
    report_.note(fmt::format("{}: {}", m.name, m.error));
}

void CodecRows::measure(Codec& codec, ByteView raw) {
  report_.status(fmt::format("{}: {}", file_, codec.name()));
  back_.resize(raw.size());
  add(bench::measure(codec, raw, back_, options_.runs, options_.clock));
}

void CodecRows::print(const std::string& reference) const {
  const Measurement* const known = find(reference);
  const double size = known ? static_cast<double>(known->coded) : 0;
  Table table({"codec", "bytes", "ratio", "compress MB/s", "decompress MB/s",
               fmt::format("size to {}", reference)});
  for (const Measurement& m : rows_) {
    const auto coded = static_cast<double>(m.coded);
    table.add({text(m.name), count(m.coded), ratio(static_cast<double>(m.raw) / coded),
               rate(m.raw, m.encode), rate(m.raw, m.decode), change(size, coded)});
  }
  report_.table(table);
}

const Measurement* CodecRows::find(const std::string& name) const {
  const auto found = std::ranges::find(rows_, name, &Measurement::name);
  return found == rows_.end() ? nullptr : &*found;
}

}  // namespace pith::bench
