#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/kv/profile.h"
#include "pith/math/eigen.h"
#include "stream_planes.h"

namespace pith::kv {
namespace {

void check(std::span<const Arrays> caches) {
  if (caches.empty()) fail(ErrorKind::kUsage, "a profile is fitted to caches: there are none");
  for (const Arrays& a : caches) {
    if (a.heads != caches[0].heads || a.head_size != caches[0].head_size || a.head_size == 0)
      fail(ErrorKind::kUsage, "a profile is fitted to caches of one model");
    if (a.keys.size() != a.size() || a.values.size() != a.size())
      fail(ErrorKind::kUsage, "a cache of {} numbers where {} should be", a.keys.size(), a.size());
    const auto finite = [](float f) { return std::isfinite(f); };
    if (!std::ranges::all_of(a.keys, finite) || !std::ranges::all_of(a.values, finite))
      fail(ErrorKind::kData, "a cache has numbers that are not finite");
  }
}

// The rows of all caches, one after the other, keys before their rotation.
form::Matrix rows_of(std::span<const Arrays> caches, const Plane& plane,
                     const ProfileOptions& options) {
  form::Matrix all({0, plane.heads * caches[0].head_size});
  for (const Arrays& a : caches) {
    const Rotator rotator(options.rotation, a.head_size, a.first, a.tokens);
    const form::Matrix m = gather(a, plane, &rotator);
    const uint64_t skip = a.first < options.skipped ? options.skipped - a.first : 0;
    if (skip >= a.tokens) continue;
    all.values.insert(all.values.end(),
                      m.values.begin() + static_cast<ptrdiff_t>(skip * m.shape.cols),
                      m.values.end());
    all.shape.rows += a.tokens - skip;
  }
  if (all.shape.rows == 0) fail(ErrorKind::kUsage, "caches without tokens to fit a profile to");
  return all;
}

std::vector<float> centre(form::Matrix& m) {
  std::vector<double> sum(m.shape.cols);
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (uint64_t c = 0; c < m.shape.cols; ++c) sum[c] += m.row(r)[c];
  }
  std::vector<float> mean(m.shape.cols);
  for (uint64_t c = 0; c < mean.size(); ++c)
    mean[c] = static_cast<float>(sum[c] / static_cast<double>(m.shape.rows));
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (uint64_t c = 0; c < m.shape.cols; ++c) m.row(r)[c] -= mean[c];
  }
  return mean;
}

// Divides heads by the root mean square of all heads of their layer.
std::vector<float> even_out(form::Matrix& m, const Plane& plane, uint64_t head_size,
                            const std::vector<uint64_t>& layer_of) {
  std::vector<double> sum(layer_of.back() + 1), count(sum.size());
  for (uint64_t h = 0; h < plane.heads; ++h) {
    const uint64_t layer = layer_of[plane.first + h];
    for (uint64_t r = 0; r < m.shape.rows; ++r) {
      for (uint64_t c = 0; c < head_size; ++c) {
        const double v = m.row(r)[h * head_size + c];
        sum[layer] += v * v;
      }
    }
    count[layer] += static_cast<double>(m.shape.rows * head_size);
  }
  std::vector<float> scale;
  for (uint64_t h = 0; h < plane.heads; ++h) {
    const uint64_t layer = layer_of[plane.first + h];
    const auto s = static_cast<float>(std::sqrt(sum[layer] / count[layer]));
    scale.push_back(s > 0 ? s : 1);
    for (uint64_t r = 0; r < m.shape.rows; ++r) {
      for (uint64_t c = 0; c < head_size; ++c) m.row(r)[h * head_size + c] /= scale.back();
    }
  }
  return scale;
}

Span fit_span(std::span<const Arrays> caches, const Plane& plane, const ProfileOptions& options,
              const std::vector<uint64_t>& layer_of) {
  form::Matrix m = rows_of(caches, plane, options);
  const uint64_t n = m.shape.cols, head_size = caches[0].head_size;
  Span span{.values = plane.values, .first = plane.first, .heads = plane.heads};
  span.mean = centre(m);
  span.scale = even_out(m, plane, head_size, layer_of);
  const math::SymmetricEigen e =
      math::symmetric_eigen(math::gram(m.values.data(), m.shape.rows, n, n).data(), n);
  const uint64_t kept = std::min(n, options.axes);
  for (uint64_t k = 0; k < kept; ++k) {
    const float variance = e.values[k] / static_cast<float>(m.shape.rows);
    span.deviations.push_back(std::sqrt(std::max(0.0F, variance)));
  }
  span.axes.assign(e.vectors.begin(), e.vectors.begin() + static_cast<ptrdiff_t>(kept * n));
  return span;
}

// Heads that a span has, from one on.
uint64_t joined_from(const std::vector<uint64_t>& layer_of, uint64_t first, Joined joined) {
  if (joined == Joined::kHead) return 1;
  if (joined == Joined::kAll) return layer_of.size() - first;
  uint64_t n = 1;
  while (first + n < layer_of.size() && layer_of[first + n] == layer_of[first]) ++n;
  return n;
}

}  // namespace

Profile fit_profile(std::span<const Arrays> caches, const ProfileOptions& options, int threads) {
  check(caches);
  Profile p{.heads = caches[0].heads,
            .head_size = caches[0].head_size,
            .rotation = options.rotation,
            .spans = {},
            .id = 0};
  std::vector<uint64_t> layer_of;
  for (uint64_t l = 0; l < p.heads.size(); ++l) layer_of.insert(layer_of.end(), p.heads[l], l);
  std::vector<Plane> planes;
  for (const bool values : {false, true}) {
    for (uint64_t h = 0; h < layer_of.size(); h += planes.back().heads) {
      const uint64_t heads = joined_from(layer_of, h, options.joined);
      if (heads * p.head_size > kMostSpan) {
        fail(ErrorKind::kLimit, "{} channels are joined, {} at most can be", heads * p.head_size,
             kMostSpan);
      }
      planes.push_back({.values = values, .first = h, .heads = heads});
    }
  }
  p.spans.resize(planes.size());
  parallel_for(threads, planes.size(),
               [&](size_t i) { p.spans[i] = fit_span(caches, planes[i], options, layer_of); });
  p.set_id();
  return p;
}

}  // namespace pith::kv
