// Sums of a few of many patterns that are nearest to a vector, one pattern after the other.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace pith::fit {

// Orthogonal matching pursuit from the patterns' scalar products with each other and with the
// vector alone (Rubinstein et al. 2008).
class MatchingPursuit {
 public:
  // gram: r x r, symmetric, positive semidefinite; it has to stay. count: patterns of a sum.
  MatchingPursuit(std::span<const double> gram, uint64_t r, uint64_t count);

  // products: of the vector with the r patterns. Which are taken, at most `count` (fewer where the
  // others add nothing), and what each is multiplied by.
  void run(std::span<const double> products);
  // The same with these patterns, as far as they do not depend on each other.
  void run_with(std::span<const double> products, std::span<const uint64_t> patterns);
  // By how much of the vector's square the sum that was found is nearer than nothing.
  double gained() const { return gained_; }
  std::span<const uint64_t> chosen() const { return chosen_; }
  std::span<const double> factors() const { return factors_; }

 private:
  bool take(uint64_t pattern);  // false where it depends on those that were taken
  void solve(std::span<const double> products);
  void leave(std::span<const double> products);

  std::span<const double> gram_;
  uint64_t r_, count_;
  std::vector<uint64_t> chosen_;
  std::vector<uint8_t> out_;   // patterns that are taken, or add nothing
  std::vector<double> lower_;  // count x count: of the chosen patterns' products
  std::vector<double> factors_, left_;
  double gained_ = 0;
};

}  // namespace pith::fit
