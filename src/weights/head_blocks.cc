#include "head_blocks.h"

#include <algorithm>
#include <numeric>

#include "pith/base/parallel.h"
#include "pith/math/cholesky.h"
#include "pith/math/matrix_product.h"

namespace pith::weights {
namespace {

using form::Matrix;
using form::MatrixView;
using Numbers = std::vector<double>;

Numbers damped(const fit::Metric& metric, uint64_t n, double damping) {
  Numbers out(n * n);
  double mean = 0;
  for (uint64_t i = 0; i < n; ++i) mean += metric.importance(i) / static_cast<double>(n);
  for (uint64_t i = 0; i < n; ++i) out[i * n + i] = metric.importance(i);
  if (metric.kind() == fit::Metric::Kind::kSecondMoments) {
    std::ranges::copy(metric.matrix(), out.begin());
  }
  for (uint64_t i = 0; i < n; ++i) out[i * n + i] += damping * (mean > 0 ? mean : 1);
  return out;
}

Numbers doubles(const Matrix& m) { return {m.values.begin(), m.values.end()}; }

math::StridedDoubles ref(const Numbers& m, uint64_t rows, uint64_t cols) {
  return math::row_major(m.data(), rows, cols);
}

}  // namespace

HeadBlocks::HeadBlocks(const model::DecoderConfig& config, uint32_t index,
                       const model::DecoderLayer& layer, const fit::Metric& attended,
                       const Numbers& outputs, double damping, int threads)
    : layout_(config.rope_layout),
      heads_(config.sizes(index).kv_heads),
      group_(config.sizes(index).heads / heads_),
      size_(config.head_size),
      pairs_(config.rope_size / 2),
      threads_(thread_count(threads)),
      q_(form::decode(*layer.q.weight)),
      k_(form::decode(*layer.k.weight)),
      v_(form::decode(*layer.v.weight)),
      o_(form::decode(*layer.output.weight)),
      moments_(damped(attended, o_.shape.cols, damping)) {
  const uint64_t width = o_.shape.rows, n = o_.shape.cols;
  Numbers repeated;
  for (uint64_t g = 0; g < group_; ++g) {
    repeated.insert(repeated.end(), outputs.begin(), outputs.end());
  }
  for (uint64_t h = 0; h < heads_; ++h) {
    Matrix stacked({group_ * width, size_});
    Numbers mean(size_ * size_);
    for (uint64_t g = 0; g < group_; ++g) {
      const uint64_t first = (h * group_ + g) * size_;
      for (uint64_t r = 0; r < width; ++r) {
        std::copy_n(o_.view().row(r).data() + first, size_, stacked.row(g * width + r).data());
      }
      for (uint64_t i = 0; i < size_ * size_; ++i) {
        mean[i] +=
            moments_[(first + i / size_) * n + first + i % size_] / static_cast<double>(group_);
      }
    }
    const fit::Metric metric = fit::Metric::second_moments(size_, std::move(mean));
    values_.emplace_back(fit::Task{.name = layer.output.name,
                                   .weights = stacked.view(),
                                   .inputs = metric,
                                   .outputs = repeated,
                                   .threads = threads_},
                         size_, fit::TruncationOptions{.damping = 0});
  }
}

Matrix HeadBlocks::output(const std::vector<uint64_t>& ranks) const {
  const uint64_t n = o_.shape.cols, width = o_.shape.rows;
  // What is left of the values, and the columns that read it.
  Numbers left;
  std::vector<uint64_t> columns;
  for (uint64_t q = 0; q < heads_ * group_; ++q) {
    const uint64_t rank = ranks[q / group_];
    const Matrix right = values_[q / group_].right(rank);
    for (uint64_t i = 0; i < rank; ++i) {
      columns.push_back(q * size_ + i);
      Numbers row(n);
      if (rank == size_) row[q * size_ + i] = 1;
      for (uint64_t c = 0; c < size_ && rank < size_; ++c) {
        row[q * size_ + c] = right.view().row(i)[c];
      }
      left.insert(left.end(), row.begin(), row.end());
    }
  }
  const uint64_t m = columns.size();
  const Numbers weights = doubles(o_);
  Numbers seen(m * n), moments(m * m), fitted(width * m);
  math::matrix_product(ref(left, m, n), ref(moments_, n, n), seen.data(), n,
                       math::ProductInto::kReplace, threads_);
  math::matrix_product(ref(seen, m, n), ref(left, m, n).transposed(), moments.data(), m,
                       math::ProductInto::kReplace, threads_);
  math::matrix_product(ref(weights, width, n), ref(seen, m, n).transposed(), fitted.data(), m,
                       math::ProductInto::kReplace, threads_);
  Matrix out(o_.shape);
  const bool solved = math::cholesky(moments.data(), m, threads_);
  Numbers inverse(m * m);
  if (solved) math::inverse_of_factored(moments.data(), m, inverse.data(), threads_);
  Numbers solution(width * m);
  math::matrix_product(ref(fitted, width, m), ref(inverse, m, m), solution.data(), m,
                       math::ProductInto::kReplace, threads_);
  for (uint64_t r = 0; r < width; ++r) {
    for (uint64_t i = 0; i < m; ++i) {
      out.row(r)[columns[i]] = static_cast<float>(solution[r * m + i]);
    }
  }
  if (solved) return out;
  // Singular all the same: each head by itself.
  for (uint64_t h = 0; h < heads_; ++h) {
    const Matrix own = values_[h].left(ranks[h]);
    for (uint64_t i = 0; i < group_ * width; ++i) {
      std::copy_n(own.view().row(i).data(), ranks[h],
                  out.row(i % width).data() + (h * group_ + i / width) * size_);
    }
  }
  return out;
}

std::pair<Matrix, Matrix> HeadBlocks::joined(const std::vector<uint64_t>& ranks) const {
  if (std::ranges::all_of(ranks, [&](uint64_t r) { return r == size_; })) return {v_, o_};
  const uint64_t width = v_.shape.cols;
  Matrix values(v_.shape);
  for (uint64_t h = 0; h < heads_; ++h) {
    const float* own = v_.view().row(h * size_).data();
    float* to = values.row(h * size_).data();
    if (ranks[h] == size_) {
      std::copy_n(own, size_ * width, to);
      continue;
    }
    const Matrix right = values_[h].right(ranks[h]);
    math::matrix_product(math::row_major(right.values.data(), ranks[h], size_),
                         math::row_major(own, size_, width), to, width, math::ProductInto::kReplace,
                         threads_);
  }
  return {std::move(values), output(ranks)};
}

uint64_t HeadBlocks::row(uint64_t pair, uint64_t which) const {
  return layout_ == model::RopeLayout::kHalves ? pair + which * pairs_ : 2 * pair + which;
}

void HeadBlocks::weigh_pairs(const fit::Metric& stream, const Numbers& queries) {
  const uint64_t width = q_.shape.cols;
  const Numbers moments = damped(stream, width, 0), q = doubles(q_);
  Numbers seen(q.size());
  math::matrix_product(ref(q, q_.shape.rows, width), ref(moments, width, width), seen.data(), width,
                       math::ProductInto::kReplace, threads_);
  // Without its pairs' queries, scores are what they are without its keys.
  const auto worth = [&](uint64_t r) {
    const double square =
        std::inner_product(q.begin() + static_cast<std::ptrdiff_t>(r * width),
                           q.begin() + static_cast<std::ptrdiff_t>((r + 1) * width),
                           seen.begin() + static_cast<std::ptrdiff_t>(r * width), 0.0);
    return std::max(square, 0.0) * queries[r] / 2;
  };
  order_.assign(heads_, {});
  worth_.assign(heads_, Numbers(pairs_));
  for (uint64_t h = 0; h < heads_; ++h) {
    for (uint64_t p = 0; p < pairs_; ++p) {
      for (uint64_t g = 0; g < group_; ++g) {
        const uint64_t first = (h * group_ + g) * size_;
        worth_[h][p] += worth(first + row(p, 0)) + worth(first + row(p, 1));
      }
    }
    order_[h].resize(pairs_);
    std::iota(order_[h].begin(), order_[h].end(), uint64_t{0});
    std::ranges::stable_sort(order_[h], std::greater<>(), [&](uint64_t p) { return worth_[h][p]; });
  }
}

double HeadBlocks::lost_without_pairs(uint64_t head, uint64_t kept) const {
  double sum = 0;
  for (uint64_t i = kept; i < pairs_; ++i) sum += worth_[head][order_[head][i]];
  return sum;
}

Matrix HeadBlocks::without(const Matrix& m, const std::vector<uint64_t>& kept,
                           uint64_t group) const {
  Matrix out = m;
  if (order_.empty()) return out;
  for (uint64_t h = 0; h < heads_ * group; ++h) {
    const std::vector<uint64_t>& order = order_[h / group];
    for (uint64_t i = kept[h / group]; i < pairs_; ++i) {
      for (const uint64_t which : {0, 1}) {
        std::ranges::fill(out.row(h * size_ + row(order[i], which)), 0.0F);
      }
    }
  }
  return out;
}

}  // namespace pith::weights
