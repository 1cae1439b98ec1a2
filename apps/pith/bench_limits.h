// How small the tensors of a file could become: entropies beside what was reached.
#pragma once

#include <functional>
#include <span>

#include "bench_report.h"
#include "pith/base/bytes.h"
#include "pith/base/dtype.h"
#include "pith/io/layout.h"

namespace pith::bench {

struct Reached {
  std::string name;
  std::function<uint64_t(DType)> bytes;  // what all tensors of a type take
};

// One row for each element type of the file: the limits as ratios, then what was reached.
void report_limits(ByteView file, std::span<const io::TensorRegion> tensors,
                   const std::vector<Reached>& reached, Report& report);

}  // namespace pith::bench
