#include "vector_sums.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "pith/base/error.h"
#include "pith/base/parallel.h"

namespace pith::weights {

using form::MatrixView;

VectorSums::VectorSums(uint64_t size, bool moments) : squares_(size), sizes_(size) {
  if (moments) moments_.emplace(size);
}

void VectorSums::add(MatrixView x, int threads, std::string_view what) {
  constexpr uint64_t kChannels = 64;  // of a task
  const uint64_t n = squares_.size();
  parallel_for(threads, (n + kChannels - 1) / kChannels, [&](size_t task) {
    const uint64_t first = task * kChannels, count = std::min(kChannels, n - first);
    std::array<double, kChannels> squares{}, sizes{};
    for (uint64_t t = 0; t < x.shape.rows; ++t) {
      const float* from = x.row(t).data() + first;
      for (uint64_t c = 0; c < count; ++c) {
        squares[c] += double{from[c]} * from[c];
        sizes[c] += std::fabs(from[c]);
      }
    }
    for (uint64_t c = 0; c < count; ++c) {
      squares_[first + c] += squares[c];
      sizes_[first + c] += sizes[c];
    }
  });
  const auto bad = std::ranges::find_if_not(sizes_, [](double v) { return std::isfinite(v); });
  if (bad != sizes_.end()) {
    fail(ErrorKind::kData, "{}: channel {} has values that are not finite", what,
         bad - sizes_.begin());
  }
  if (moments_) moments_->add(x, threads);
  count_ += x.shape.rows;
}

std::shared_ptr<const VectorStatistics> VectorSums::finish() const {
  auto made = std::make_shared<VectorStatistics>();
  const double tokens = static_cast<double>(std::max<uint64_t>(count_, 1));
  const uint64_t n = squares_.size();
  made->count = count_;
  made->squares = squares_;
  made->sizes = sizes_;
  for (double& v : made->squares) v /= tokens;
  for (double& v : made->sizes) v /= tokens;
  if (moments_) {
    made->moments.reserve(n * (n + 1) / 2);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t c = r; c < n; ++c) {
        made->moments.push_back(static_cast<float>(moments_->matrix()[r * n + c] / tokens));
      }
    }
  }
  return made;
}

fit::Metric VectorStatistics::metric() const {
  if (count == 0) return {};
  if (moments.empty()) return fit::Metric::diagonal(squares);
  const uint64_t n = size();
  std::vector<double> matrix(n * n);
  const float* from = moments.data();
  for (uint64_t r = 0; r < n; ++r) {
    for (uint64_t c = r; c < n; ++c) matrix[r * n + c] = matrix[c * n + r] = *from++;
  }
  return fit::Metric::second_moments(n, std::move(matrix));
}

}  // namespace pith::weights
