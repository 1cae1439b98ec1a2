// What a linear layer's inputs look like: the sum of x xᵀ over tokens, the Hessian of the layer's
// squared output error up to a factor (Optimal Brain Compression, Frantar and Alistarh 2022), and
// the mean size of each channel.
//
//   SecondMoment moment(channels);
//   for (…) moment.add(inputs.view());        // [tokens][channels]
//   const Metric metric = Metric::of(std::move(moment));
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/form/matrix.h"

namespace pith::fit {

class SecondMoment {
 public:
  // 8 * channels^2 bytes. Throws ErrorKind::kUsage for no channels, kLimit for more than 2^16.
  explicit SecondMoment(uint64_t channels);

  // Adds x xᵀ for each row x of [tokens][channels]. Products are summed over at most 128 tokens in
  // float32, scaled so that neither large nor small inputs leave its range, and these sums in
  // float64: that is several times as fast as float64 alone, its rounding (below 1e-5 of the
  // channels' sizes) is far below what other calibration tokens would change, and no number of
  // tokens makes it larger. The same for any number of threads (0: as many as there are), up to
  // rounding for any division of the tokens into batches; large batches are faster. Takes up to 8
  // KiB for each channel meanwhile. Throws ErrorKind::kData with the place of the first NaN or
  // infinity, and then adds nothing; kUsage for another number of channels.
  void add(form::MatrixView inputs, int threads = 0);
  // Adds what another one has seen. Throws ErrorKind::kUsage for another number of channels.
  void merge(const SecondMoment& other);

  uint64_t channels() const { return channels_; }
  uint64_t count() const { return count_; }  // tokens
  // Sums of x_i x_j, row-major; exactly symmetric.
  std::span<const double> matrix() const { return sums_; }
  std::vector<double> take() && { return std::move(sums_); }

  // Of each channel over all tokens; zeros without any.
  std::vector<double> mean_size() const;  // |x|, as AWQ scales by (Lin et al. 2023)
  std::vector<double> root_mean_square() const;

 private:
  uint64_t channels_, count_ = 0;
  std::vector<double> sums_, sizes_;
};

}  // namespace pith::fit
