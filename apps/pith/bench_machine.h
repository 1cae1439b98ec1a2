// The machine that a benchmark runs on, and how fast it moves bytes at all.
#pragma once

#include <string>
#include <vector>

namespace pith::bench {

// Processor, cores, compiler and libraries, and the bandwidths measured now, a line each.
std::vector<std::string> describe_machine();

}  // namespace pith::bench
