// Axes of least loss of what attention adds to the stream, in closed form.
//
// An error e of token t's value reaches query s as w_st W_O e, one of its key (before rotation) as
// w_st (q_st · e) W_O (v_t - o_s) to first order, with q_st the query with the token's rotation
// undone and o_s what attention gives. So the mean squared loss of coordinates that are left out is
// that of their numbers under a metric, eᵀ M e: the best axes are the eigenvectors of
// M^½ C M^½, with C the covariance of tokens, each as heavy as the queries make it.
#include <algorithm>
#include <cmath>

#include "attention_trace.h"
#include "kept_heads.h"
#include "pith/base/error.h"
#include "pith/math/eigen.h"
#include "pith/math/matrix_product.h"

namespace pith::model {
namespace {

using form::Matrix;

// What is summed up of a head's keys, or of its values.
struct Moments {
  explicit Moments(uint64_t n) : sum(n), squares(n * n), metric(n * n) {}
  double weight = 0;
  std::vector<double> sum, squares, metric;

  void add_token(const float* x, double w) {
    const uint64_t n = sum.size();
    weight += w;
    for (uint64_t i = 0; i < n; ++i) {
      const double wx = w * x[i];
      sum[i] += wx;
      for (uint64_t j = 0; j <= i; ++j) squares[i * n + j] += wx * x[j];
    }
  }
  // m: n x n.
  void add_metric(const std::vector<float>& m, double w) {
    for (size_t i = 0; i < metric.size(); ++i) metric[i] += w * m[i];
  }
};

Matrix matrix_of(std::vector<float> values, uint64_t n) {
  Matrix m;
  m.shape = {n, n};
  m.values = std::move(values);
  return m;
}

// m^power of a symmetric matrix, of eigenvalues of at least a thousandth of their mean.
Matrix power(const std::vector<float>& m, uint64_t n, double exponent) {
  const math::SymmetricEigen e = math::symmetric_eigen(m.data(), n);
  double mean = 0;
  for (const float v : e.values) mean += v / static_cast<double>(n);
  Matrix left({n, n}), vectors = matrix_of(e.vectors, n);
  for (uint64_t k = 0; k < n; ++k) {
    const double v = std::pow(std::max(double{e.values[k]}, 1e-3 * mean), exponent);
    for (uint64_t c = 0; c < n; ++c) left.row(k)[c] = static_cast<float>(v) * vectors.row(k)[c];
  }
  Matrix out({n, n});
  math::matrix_product(math::row_major(vectors.values.data(), n, n).transposed(),
                       math::row_major(left.values.data(), n, n), out.values.data(), n);
  return out;
}

kv::Span span_of(const Moments& m, bool values, uint64_t head) {
  const uint64_t n = m.sum.size();
  kv::Span span{.values = values, .first = head, .heads = 1};
  const double heavy = m.weight > 0 ? m.weight : 1;
  std::vector<float> covariance(n * n), metric(n * n);
  double trace = 0, size = 0;
  for (uint64_t i = 0; i < n; ++i) {
    span.mean.push_back(static_cast<float>(m.sum[i] / heavy));
    trace += m.metric[i * n + i] / static_cast<double>(n);
  }
  for (uint64_t i = 0; i < n; ++i) {
    for (uint64_t j = 0; j <= i; ++j) {
      const double c = m.squares[i * n + j] / heavy - m.sum[i] / heavy * (m.sum[j] / heavy);
      covariance[i * n + j] = covariance[j * n + i] = static_cast<float>(c);
    }
    for (uint64_t j = 0; j < n; ++j) {
      // Where nothing is lost with any axis, one is as good as another.
      const double all = trace > 0 ? m.metric[std::max(i, j) * n + std::min(i, j)] / trace : i == j;
      metric[i * n + j] = static_cast<float>(all);
    }
    size += covariance[i * n + i] / static_cast<double>(n);
  }
  const double scale = size > 0 ? std::sqrt(size) : 1;
  span.scale = {static_cast<float>(scale)};
  const Matrix root = power(metric, n, 0.5), inverse = power(metric, n, -0.5);
  const Matrix whole = times(times(root, matrix_of(covariance, n)), root);
  const math::SymmetricEigen e = math::symmetric_eigen(whole.values.data(), n);
  for (const float v : e.values) {
    const double variance = std::max(0.0, double{v});
    span.deviations.push_back(static_cast<float>(std::sqrt(variance) / scale));
    span.importance.push_back(static_cast<float>(variance * trace));
  }
  const Matrix vectors = matrix_of(e.vectors, n);
  span.axes = times(vectors, root).values;
  span.duals = times(vectors, inverse).values;
  return span;
}

void add_values(const TracedHead& head, Moments& m) {
  const uint64_t n = head.values.shape.cols;
  double all = 0;
  for (uint64_t t = head.far_begin; t < head.far_end; ++t) {
    double w = 0;
    for (uint64_t r = 0; r < head.weights.shape.rows; ++r)
      w += std::pow(double{head.weights.view().row(r)[t]}, 2);
    all += w / head.unit;
    m.add_token(head.values.view().row(t).data(), w / head.unit);
  }
  m.add_metric(math::gram(head.output.values.data(), head.output.shape.rows, n, n), all);
}

// Squares of W_O (v_t - o_s): of all pairs, from products of the two.
Matrix distances(const Matrix& values, const Matrix& given) {
  Matrix out = times_transposed(given, values);
  std::vector<double> v(values.shape.rows);
  for (uint64_t t = 0; t < v.size(); ++t) {
    for (const float f : values.view().row(t)) v[t] += double{f} * f;
  }
  for (uint64_t s = 0; s < given.shape.rows; ++s) {
    double o = 0;
    for (const float f : given.view().row(s)) o += double{f} * f;
    for (uint64_t t = 0; t < v.size(); ++t) {
      const double d = v[t] + o - 2.0 * out.row(s)[t];
      out.row(s)[t] = static_cast<float>(std::max(0.0, d));
    }
  }
  return out;
}

void add_keys(const TracedHead& head, const kv::Rotator& rotator, const kv::TileRotator& one,
              Moments& m) {
  const uint64_t n = head.keys.shape.cols, queries = head.queries.shape.rows;
  Matrix plain = head.keys;
  rotator.undo(plain.values.data());
  const Matrix moved = times_transposed(head.values, head.output);
  const Matrix off = distances(moved, times(head.weights, moved));
  Matrix turned({queries, n});
  for (uint64_t t = head.far_begin; t < head.far_end; ++t) {
    double all = 0;
    for (uint64_t s = 0; s < queries; ++s) {
      const double w =
          std::pow(double{head.weights.view().row(s)[t]}, 2) * off.view().row(s)[t] / head.unit;
      all += w;
      float* q = turned.row(s).data();
      std::copy_n(head.queries.view().row(s).data(), n, q);
      const auto root = static_cast<float>(std::sqrt(w));
      for (uint64_t i = 0; i < n; ++i) q[i] *= root;
    }
    one.undo_all(turned.values.data(), t, queries);
    m.add_metric(math::gram(turned.values.data(), queries, n, n), 1);
    m.add_token(plain.view().row(t).data(), all);
  }
}

}  // namespace

kv::Profile attention_profile(const LanguageModel& model, std::span<const int32_t> ids,
                              const HarmOptions& options, int threads) {
  const DecoderConfig& c = model.config();
  kv::Profile p{.heads = kept_heads(c),
                .head_size = c.head_size,
                .rotation = rotation_of(c),
                .spans = {},
                .id = 0};
  uint64_t heads = 0;
  for (const uint64_t h : p.heads) heads += h;
  std::vector<Moments> keys(heads, Moments(c.head_size)), values = keys;
  const kv::Rotator rotator(p.rotation, c.head_size, 0, options.context);
  const kv::TileRotator one(p.rotation, c.head_size, 1);
  trace_heads(model, ids, options, threads, [&](const TracedHead& head) {
    add_keys(head, rotator, one, keys[head.index]);
    add_values(head, values[head.index]);
  });
  for (const std::vector<Moments>* side : {&keys, &values}) {
    for (uint64_t h = 0; h < heads; ++h) p.spans.push_back(span_of((*side)[h], side == &values, h));
  }
  p.set_id();
  return p;
}

}  // namespace pith::model
