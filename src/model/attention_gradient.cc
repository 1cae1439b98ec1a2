#include "attention_gradient.h"

#include <algorithm>
#include <vector>

#include "decoder_kernels.h"
#include "gradient_kernels.h"
#include "pith/math/matrix_product.h"

namespace pith::model {
namespace {

using math::ProductInto;
using math::StridedMatrix;

// Queries that are worked off together.
constexpr uint64_t kQueries = 64;

// Queries first … first + count - 1 of head `of`, which see the keys low … first + count - 1.
struct Block {
  uint64_t of, first, count, low, span;
};

class Gradient {
 public:
  explicit Gradient(const HeadGradient& head) : h_(head) {}

  void run(const Block& b) {
    p_.resize(b.count * b.span);
    dp_.resize(p_.size());
    const uint64_t at = b.first * h_.query_stride + b.of * h_.head_size;
    const StridedMatrix q = rows(h_.queries + at, b.count, h_.query_stride);
    const StridedMatrix d_out = rows(h_.d_out + at, b.count, h_.query_stride);
    const uint64_t low = b.low * h_.key_stride;
    const StridedMatrix k = rows(h_.keys + low, b.span, h_.key_stride);
    const StridedMatrix v = rows(h_.values + low, b.span, h_.key_stride);
    math::matrix_product(q, k.transposed(), p_.data(), b.span);
    math::matrix_product(d_out, v.transposed(), dp_.data(), b.span);
    for (uint64_t r = 0; r < b.count; ++r) row(b, r, h_.out + at, h_.d_out + at);
    const StridedMatrix p = math::row_major(p_.data(), b.count, b.span);
    const StridedMatrix ds = math::row_major(dp_.data(), b.count, b.span);
    math::matrix_product(ds, k, h_.d_queries + at, h_.query_stride);
    math::matrix_product(ds.transposed(), q, h_.d_keys + low, h_.key_stride, ProductInto::kAdd);
    math::matrix_product(p.transposed(), d_out, h_.d_values + low, h_.key_stride,
                         ProductInto::kAdd);
  }

 private:
  StridedMatrix rows(const float* data, uint64_t count, uint64_t stride) const {
    return {data, count, h_.head_size, stride, 1};
  }

  // Scores become weights; the gradients at the weights become those at the scores.
  void row(const Block& b, uint64_t r, const float* out, const float* d_out) {
    const uint64_t end = b.first + r + 1;
    const uint64_t begin = h_.window != 0 && end > h_.window ? end - h_.window : 0;
    float *p = p_.data() + r * b.span, *dp = dp_.data() + r * b.span;
    const uint64_t from = begin - b.low, to = end - b.low;
    std::fill(p, p + from, 0.0F);
    std::fill(p + to, p + b.span, 0.0F);
    std::fill(dp, dp + from, 0.0F);
    std::fill(dp + to, dp + b.span, 0.0F);
    softmax(to - from, p + from);
    const auto mean = static_cast<float>(
        dot(out + r * h_.query_stride, d_out + r * h_.query_stride, h_.head_size));
    for (uint64_t i = from; i < to; ++i) dp[i] = p[i] * (dp[i] - mean);
  }

  const HeadGradient& h_;
  std::vector<float> p_, dp_;  // weights, and the gradients at them
};

}  // namespace

void attention_gradient(const HeadGradient& head) {
  Gradient gradient(head);
  for (uint64_t of = 0; of < head.group; ++of) {
    for (uint64_t first = 0; first < head.positions; first += kQueries) {
      const uint64_t count = std::min(kQueries, head.positions - first);
      const bool slides = head.window != 0 && first + 1 > head.window;
      const uint64_t low = slides ? first + 1 - head.window : 0;
      gradient.run({of, first, count, low, first + count - low});
    }
  }
}

}  // namespace pith::model
