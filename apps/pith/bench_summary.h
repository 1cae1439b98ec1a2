// All data sets in two tables: how small, and how fast.
#pragma once

#include <string>
#include <vector>

#include "bench_measure.h"
#include "bench_report.h"

namespace pith::bench {

struct Summary {
  std::vector<std::string> files;
  std::vector<std::vector<Measurement>> rows;  // of each file
};

// Of ZipNN's two ways, the smaller result counts.
void report_summary(const Summary& summary, Report& report);

}  // namespace pith::bench
