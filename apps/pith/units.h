// Sizes, rates and times as people write and read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pith::command {

// "14.0 MiB", "812 B".
std::string size_text(uint64_t bytes);
// "312 MB/s"; empty when there was no time to measure.
std::string rate_text(uint64_t bytes, double seconds);
// "67.2%": what is left of `raw`; "-" for nothing.
std::string percent_text(uint64_t stored, uint64_t raw);
// "1.488": raw / stored; "-" when either is nothing.
std::string ratio_text(uint64_t raw, uint64_t stored);
// "1:23:45", "0:09".
std::string time_text(double seconds);

// "1 file", "3 files".
std::string count_text(uint64_t n, std::string_view noun);

// "512MiB", "1.5G", "64k", "1000000". K, M, G and T alone, and with iB, are powers of 1024; with B
// powers of 1000. Throws kUsage naming `option`.
uint64_t parse_size(std::string_view text, std::string_view option);

struct RowRange {
  uint64_t first = 0, last = UINT64_MAX;  // last is not included; UINT64_MAX: to the end
};
// "10:20", "10:", ":20", "10" (one row). Throws kUsage.
RowRange parse_rows(std::string_view text);

}  // namespace pith::command
