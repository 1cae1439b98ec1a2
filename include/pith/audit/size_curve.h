// Compressed files of one model, compared by what they lost at their size.
//
//   best_within(files, "llama.cpp", 3.1)   the file that somebody with so much room would take
//   frontier(files, "llama.cpp")           those that no other one of the method beats both ways
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pith::audit {

struct SizedFile {
  std::string method;  // who made it; files of one method are one line of a plot
  std::string name;    // "Q4_K_M"
  uint64_t bytes = 0;  // of the whole file
  double bits = 0;     // 8 bytes / weights of the model
  double loss = 0;     // what it lost, such as the mean KL divergence: less is better
};

// The place of the file of the method with the least loss among those of at most `bits`; of equal
// ones the smallest. Where none is as small, the smallest. Nothing where the method has no file.
// Losses that are no numbers are worse than all others.
std::optional<size_t> best_within(std::span<const SizedFile> files, std::string_view method,
                                  double bits);

// The places of the method's files, by size, without those that lost no less than a file of at most
// their size.
std::vector<size_t> frontier(std::span<const SizedFile> files, std::string_view method);

// The loss that the method's frontier has at so many bits: log-linear between its neighbours, for
// comparisons at equal size. Nothing outside of it, or where a loss is not above 0.
std::optional<double> loss_at(std::span<const SizedFile> files, std::string_view method,
                              double bits);

}  // namespace pith::audit
