// Pieces of `pith bench weights`.
#pragma once

#include <filesystem>

#include "bench.h"
#include "bench_report.h"

namespace pith::bench {

struct WeightInputs {
  std::filesystem::path model;        // a folder
  std::filesystem::path bare;         // the same without the vocabulary: what is compressed
  std::filesystem::path calibration;  // text that fitters may read
};

// A file for the peer lies in `folder` meanwhile.
void bench_gaussian(const Options& options, const std::filesystem::path& folder, Report& report);

}  // namespace pith::bench
