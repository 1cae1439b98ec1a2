#include "pith/network/integer_linear.h"

#include "integer_steps.h"
#include "pith/base/parallel.h"

namespace pith::network {

IntegerLinear::IntegerLinear(const form::Form& form, double input_scale, double output_scale,
                             int output_bits) {
  auto rows = form::integer_rows(form);
  if (!rows) fail(ErrorKind::kUsage, "the weights have no form of integers");
  if (output_bits < 2 || output_bits > 16)
    fail(ErrorKind::kUsage, "outputs of {} bits", output_bits);
  if (!(input_scale > 0) || !(output_scale > 0))
    fail(ErrorKind::kUsage, "a scale that is not positive");
  // No code is larger than 128, nor is an input.
  if (rows->shape.cols > INT32_MAX >> 14) fail(ErrorKind::kUsage, "its sums can leave 32 bits");
  weights_ = std::move(*rows);
  for (const float scale : weights_.scales)
    by_.push_back(nearest_dyadic(scale * input_scale / output_scale));
  most_ = 1 << (output_bits - 1);
}

void IntegerLinear::apply(std::span<const int8_t> x, uint64_t batch, std::span<int32_t> out,
                          int threads) const {
  const auto [rows, cols] = weights_.shape;
  if (x.size() != batch * cols || out.size() != batch * rows) {
    fail(ErrorKind::kUsage, "{} inputs and {} outputs for {} vectors of {} to {}", x.size(),
         out.size(), batch, cols, rows);
  }
  const std::vector<int16_t> wide(x.begin(), x.end());
  constexpr uint64_t kRows = 64;
  parallel_for(threads, (rows + kRows - 1) / kRows, [&, n = rows, length = cols](size_t k) {
    for (uint64_t r = k * kRows; r < std::min(n, (k + 1) * kRows); ++r) {
      const int16_t* w = weights_.codes.data() + r * length;
      for (uint64_t b = 0; b < batch; ++b) {
        const int32_t sum = dot(wide.data() + b * length, w, length);
        out[b * n + r] = held(rescaled(sum, by_[r]), -most_, most_ - 1);
      }
    }
  });
}

}  // namespace pith::network
