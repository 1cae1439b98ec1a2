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

// The model's own line first: what `pith compress --bits` gives. Then those of options.forms:
// expressions with "$bits" in them are tried until the file has the size, others make one file
// each, and stand in one line with those of the same form.
std::vector<std::unique_ptr<WeightMethod>> weight_methods(const Options& options,
                                                          const WeightInputs& inputs);

}  // namespace pith::bench
