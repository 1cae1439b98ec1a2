// Archives of a model at a size, one method to a line of the plot.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench_weights.h"

namespace pith::bench {

struct MadeFile {
  std::string name;
  std::filesystem::path path;
};

class WeightMethod {
 public:
  virtual ~WeightMethod() = default;
  virtual std::string name() const = 0;
  // Files of at most so many bits a weight each, whole files counted; those that cannot be as small
  // are left out. They lie in `folder` when it returns.
  virtual std::vector<MadeFile> make(const std::vector<double>& sizes, uint64_t weights,
                                     const std::filesystem::path& folder) const = 0;
};

// "pith" first: what `pith compress --bits` gives, calibrated. Then options.recipes and
// options.fitted, and options.forms without calibration: expressions with "$bits" in them are tried
// until the file has the size, others make one file each. Recipes of one name, and expressions of
// one kind, are one line.
std::vector<std::unique_ptr<WeightMethod>> weight_methods(const Options& options,
                                                          const WeightInputs& inputs);

}  // namespace pith::bench
