// The table of one file: what each codec makes of it.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bench.h"
#include "bench_report.h"

namespace pith::bench {

class CodecRows {
 public:
  CodecRows(const std::filesystem::path& file, const Options& options, Report& report)
      : file_(file.filename().string()), options_(options), report_(report) {}

  // A row; of a measurement that failed, a note.
  void add(Measurement m);
  void measure(Codec& codec, ByteView raw);

  // The last column is the size relative to that of the codec called `reference`.
  void print(const std::string& reference) const;
  // nullptr: there is no such row.
  const Measurement* find(const std::string& name) const;
  const std::vector<Measurement>& all() const { return rows_; }

 private:
  std::string file_;
  const Options& options_;
  Report& report_;
  Bytes back_;
  std::vector<Measurement> rows_;
};

}  // namespace pith::bench
