// The machine that a benchmark runs on, and how fast it moves bytes at all.
#pragma once

#include <string>
#include <vector>

namespace pith::bench {

// Processor, cores, compiler and libraries, and the bandwidths measured now, a line each.
std::vector<std::string> describe_machine();

// Bytes per second that so many threads read at most, summing up 1 GiB.
double read_bandwidth(int threads);

}  // namespace pith::bench
