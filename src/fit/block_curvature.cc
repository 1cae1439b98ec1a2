#include "pith/fit/block_curvature.h"

#include <algorithm>
#include <cmath>

#include "cheapest.h"
#include "double_multiples.h"
#include "elimination.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/math/matrix_product.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;
using form::Shape;

// Blocks of a task.
constexpr uint64_t kSome = 64;

template <class Function>
void for_blocks(uint64_t blocks, int threads, const Function& function) {
  parallel_for(thread_count(threads), (blocks + kSome - 1) / kSome, [&](size_t task) {
    for (uint64_t b = task * kSome; b < std::min((task + 1) * kSome, blocks); ++b) function(b);
  });
}

void require_finite(MatrixView m, std::string_view what) {
  for (uint64_t i = 0; i < m.shape.size(); ++i) {
    if (!std::isfinite(m.data[i])) {
      fail(ErrorKind::kData, "{}: row {}, column {} is {}", what, i / m.shape.cols,
           i % m.shape.cols, m.data[i]);
    }
  }
}

form::SparseOptions options_of(const form::Expression& expression) {
  const form::SparseOptions options = form::sparse_options(expression);
  const bool blocks = options.pattern == form::SparsePattern::kBlocks && options.height == 1;
  if (!options.is_free() && !blocks) {
    throw expression.place().error(ErrorKind::kUsage,
                                   "sparse: a share of single elements, or of blocks in a row");
  }
  return options;
}

}  // namespace

BlockCurvature::BlockCurvature(Shape shape, const BlockCurvatureOptions& options)
    : shape_(shape), options_(options) {
  if (options.samples == 0 || options.width == 0)
    fail(ErrorKind::kUsage, "curvature needs samples and a width of blocks");
  if (!(options.damping > 0) || std::isinf(options.damping))
    fail(ErrorKind::kUsage, "damping must be above 0, got {}", options.damping);
  inverses_.resize(shape.size() / options.width * options.width * options.width +
                   (shape.size() % options.width) * (shape.size() % options.width));
  for (uint64_t b = 0; b < blocks(); ++b) {
    double* own = inverses_.data() + b * options.width * options.width;
    for (uint64_t i = 0; i < size(b); ++i) own[i * size(b) + i] = 1 / options.damping;
  }
}

uint64_t BlockCurvature::blocks() const {
  return shape_.size() / options_.width + (shape_.size() % options_.width != 0);
}

uint64_t BlockCurvature::size(uint64_t block) const {
  return std::min(options_.width, shape_.size() - block * options_.width);
}

std::span<const double> BlockCurvature::inverse(uint64_t block) const {
  return std::span(inverses_).subspan(block * options_.width * options_.width,
                                      size(block) * size(block));
}

void BlockCurvature::add(MatrixView gradient, int threads) {
  if (gradient.shape != shape_) {
    fail(ErrorKind::kUsage, "a gradient of {} x {} for weights of {} x {}", gradient.shape.rows,
         gradient.shape.cols, shape_.rows, shape_.cols);
  }
  if (added_ == options_.samples) {
    fail(ErrorKind::kUsage, "more than the {} gradients that were to come", options_.samples);
  }
  require_finite(gradient, "gradient");
  add_all({&gradient, 1}, threads);
}

void BlockCurvature::add_all(std::span<const MatrixView> gradients, int threads) {
  added_ += gradients.size();
  const auto all = static_cast<double>(options_.samples);
  for_blocks(blocks(), threads, [&](uint64_t b) {
    const uint64_t n = size(b);
    double* inverse = inverses_.data() + b * options_.width * options_.width;
    std::vector<double> g(n), product(n);
    for (const MatrixView gradient : gradients) {
      std::copy_n(gradient.data + b * options_.width, n, g.begin());
      std::ranges::fill(product, 0);
      subtract_multiples(inverse, g.data(), n, n, product.data());
      double sum = all;
      for (uint64_t r = 0; r < n; ++r) sum -= product[r] * g[r];
      for (uint64_t r = 0; r < n; ++r) {
        const double factor = product[r] / sum;
        subtract_multiples(product.data(), &factor, 1, n, inverse + r * n);
      }
    }
  });
}

void BlockCurvature::add(MatrixView inputs, MatrixView gradients, uint64_t rows_of_sample,
                         float scale, int threads) {
  const uint64_t rows = inputs.shape.rows, n = rows_of_sample == 0 ? 0 : rows / rows_of_sample;
  if (rows != gradients.shape.rows || inputs.shape.cols != shape_.cols ||
      gradients.shape.cols != shape_.rows || n * rows_of_sample != rows) {
    fail(ErrorKind::kUsage, "inputs and gradients that do not fit weights of {} x {}", shape_.rows,
         shape_.cols);
  }
  if (n > options_.samples - added_) {
    fail(ErrorKind::kUsage, "more than the {} gradients that were to come", options_.samples);
  }
  // So many that a block's inverse is read seldom, and the gradients take little.
  constexpr uint64_t kSamples = 16;
  std::vector<Matrix> sums(std::min(kSamples, n), Matrix(shape_));
  std::vector<MatrixView> views;
  for (uint64_t at = 0; at < n; ++at) {
    Matrix& sum = sums[views.size()];
    math::matrix_product(
        math::row_major(gradients.row(at * rows_of_sample).data(), rows_of_sample, shape_.rows)
            .transposed(),
        math::row_major(inputs.row(at * rows_of_sample).data(), rows_of_sample, shape_.cols),
        sum.values.data(), shape_.cols, math::ProductInto::kReplace, threads);
    for (float& v : sum.values) v *= scale;
    require_finite(sum.view(), "gradient");
    views.push_back(sum.view());
    if (views.size() < sums.size() && at + 1 < n) continue;
    add_all(views, threads);
    views.clear();
  }
}

CurvaturePruned prune(const form::Expression& expression, MatrixView weights,
                      const BlockCurvature& curvature, int threads) {
  const form::SparseOptions options = options_of(expression);
  const Shape shape = weights.shape;
  const bool blocks = !options.is_free();
  if (curvature.shape() != shape) {
    fail(ErrorKind::kUsage, "curvature of {} x {} for weights of {} x {}", curvature.shape().rows,
         curvature.shape().cols, shape.rows, shape.cols);
  }
  const uint64_t group = blocks ? options.block : 1;
  for (uint64_t b = 0; b < curvature.blocks(); ++b) {
    if (curvature.size(b) % group != 0 || shape.cols % group != 0) {
      fail(ErrorKind::kUsage, "blocks of {} do not divide rows of {} and curvature in blocks of {}",
           group, shape.cols, curvature.size(b));
    }
  }
  require_finite(weights, "weights");

  // Order and cost of all removals within each block, then as many of them as are cheap enough.
  const uint64_t n = curvature.blocks(), groups = shape.size() / group;
  std::vector<std::vector<double>> costs(n);
  std::vector<std::vector<uint64_t>> orders(n);
  const auto begun = [&](uint64_t b) {
    Elimination e(curvature.inverse(b), curvature.size(b), group);
    e.begin({weights.data + b * curvature.size(0), curvature.size(b)});
    return e;
  };
  for_blocks(n, threads, [&](uint64_t b) {
    Elimination e = begun(b);
    for (uint64_t k = 0; k < e.groups(); ++k) {
      uint64_t best = 0;
      double least = -1;
      for (uint64_t g = 0; g < e.groups(); ++g) {
        if (e.fixed(g * group)) continue;
        const double cost = e.group_cost(g);
        if (least < 0 || cost < least) {
          least = cost;
          best = g;
        }
      }
      costs[b].push_back(least);
      orders[b].push_back(best);
      e.remove_group(best);
    }
  });
  const auto counts = cheapest(costs, groups - form::count_of(options.share, groups));

  CurvaturePruned out;
  out.keep.assign(shape.size(), 1);
  Matrix left(shape);
  for_blocks(n, threads, [&](uint64_t b) {
    Elimination e = begun(b);
    const uint64_t at = b * curvature.size(0);
    for (uint64_t k = 0; k < counts[b]; ++k) {
      e.remove_group(orders[b][k]);
      std::fill_n(out.keep.begin() + static_cast<int64_t>(at + orders[b][k] * group), group, 0);
    }
    for (uint64_t p = 0; p < e.size(); ++p) {
      left.values[at + p] = static_cast<float>(e.weight(p));
    }
  });
  for (uint64_t b = 0; b < n; ++b) {
    for (uint64_t k = 0; k < counts[b]; ++k) out.loss += costs[b][k] / 2;
  }
  out.form = blocks ? form::encode(expression, left.view())
                    : form::SparseFit(expression, shape, out.keep).form(left.view());
  return out;
}

Fitter curvature_fitter(const form::Expression& expression) {
  options_of(expression);
  return [expression](const Task& task) {
    if (!task.curvature) {
      fail(ErrorKind::kUsage, "{}: nothing is known of gradients of samples", task.name);
    }
    CurvaturePruned made = prune(expression, task.weights, *task.curvature, task.threads);
    return Fitted{std::move(made.form), 2 * made.loss};
  };
}

}  // namespace pith::fit
