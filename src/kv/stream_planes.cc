#include "stream_planes.h"

#include <algorithm>

#include "pith/math/matrix_product.h"
#include "stream_kernel.h"

namespace pith::kv {
namespace {

// How many layers have all of their heads among the first `heads`.
uint64_t whole_layers(const std::vector<uint64_t>& of, uint64_t heads) {
  uint64_t layers = 0;
  for (uint64_t sum = 0; layers < of.size() && (sum += of[layers]) <= heads;) ++layers;
  return layers;
}

void sort_spans(std::vector<Plane>& planes, const std::vector<uint64_t>& heads) {
  std::ranges::stable_sort(planes, {}, [](const Plane& p) { return p.first + p.heads; });
  uint64_t keys = 0, values = 0;
  for (Plane& p : planes) {
    (p.values ? values : keys) = p.first + p.heads;
    p.layers_done = whole_layers(heads, std::min(keys, values));
  }
}

// Axes that so few tokens have anything along are added one by one.
constexpr uint64_t kFew = 8;

// How many axes from the first lie before the last one that more than a few tokens have something
// along.
uint64_t dense_axes(const float* coordinates, uint64_t tokens, uint64_t axes) {
  std::vector<uint32_t> counts(axes);
  for (uint64_t t = 0; t < tokens; ++t) {
    for (uint64_t a = 0; a < axes; ++a) counts[a] += coordinates[t * axes + a] != 0 ? 1 : 0;
  }
  uint64_t dense = axes;
  while (dense > 0 && counts[dense - 1] * kFew <= tokens) --dense;
  return dense;
}

// rows of coordinates times the axes of a span.
void expand(const Span& span, const float* coordinates, uint64_t rows, uint64_t axes,
            uint64_t dense, float* out) {
  const uint64_t channels = span.channels();
  std::fill_n(out, rows * channels, 0.0F);
  if (dense > 0) {
    const math::StridedMatrix left{coordinates, rows, dense, axes, 1};
    math::matrix_product(left, math::row_major(span.back().data(), dense, channels), out, channels);
  }
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t a = dense; a < axes; ++a) {
      const float v = coordinates[r * axes + a];
      if (v != 0) add_scaled(v, span.back().data() + a * channels, channels, out + r * channels);
    }
  }
}

}  // namespace

std::vector<Plane> planes_of(const std::vector<uint64_t>& heads, const Profile* profile,
                             const std::vector<uint64_t>& kept) {
  std::vector<Plane> planes;
  if (profile) {
    for (size_t s = 0; s < profile->spans.size(); ++s) {
      const Span& span = profile->spans[s];
      planes.push_back({.values = span.values,
                        .first = span.first,
                        .heads = span.heads,
                        .span = &span,
                        .kept = kept.at(s)});
    }
    sort_spans(planes, heads);
    return planes;
  }
  uint64_t first = 0;
  for (uint64_t l = 0; l < heads.size(); ++l) {
    for (const bool values : {false, true}) {
      planes.push_back({.values = values,
                        .first = first,
                        .heads = heads[l],
                        .layer = l,
                        .layers_done = values ? l + 1 : l});
    }
    first += heads[l];
  }
  return planes;
}

uint64_t width(const Plane& plane, uint64_t head_size) { return plane.heads * head_size; }

form::Matrix gather(const Arrays& arrays, const Plane& plane, const Rotator* rotator) {
  const uint64_t size = arrays.head_size, tokens = arrays.tokens;
  form::Matrix m({tokens, plane.heads * size});
  std::vector<float> head(tokens * size);
  for (uint64_t h = 0; h < plane.heads; ++h) {
    const auto& from = plane.values ? arrays.values : arrays.keys;
    std::copy_n(from.data() + (plane.first + h) * tokens * size, tokens * size, head.data());
    if (!plane.values && rotator) rotator->undo(head.data());
    for (uint64_t t = 0; t < tokens; ++t)
      std::copy_n(head.data() + t * size, size, m.row(t).data() + h * size);
  }
  if (!plane.span) return m;
  const Span& span = *plane.span;
  for (uint64_t t = 0; t < tokens; ++t) {
    for (uint64_t c = 0; c < span.channels(); ++c)
      m.row(t)[c] = (m.row(t)[c] - span.mean[c]) / span.scale[c / size];
  }
  form::Matrix out({tokens, plane.kept});
  const auto axes = math::row_major(span.axes.data(), plane.kept, span.channels());
  math::matrix_product(math::row_major(m.values.data(), tokens, span.channels()), axes.transposed(),
                       out.values.data(), plane.kept);
  return out;
}

void scatter(const Plane& plane, const float* coordinates, uint64_t axes, Arrays& arrays) {
  const Span& span = *plane.span;
  const uint64_t size = arrays.head_size, tokens = arrays.tokens, channels = span.channels();
  // Some tokens at a time, which stay in the cache.
  constexpr uint64_t kRows = 256;
  thread_local std::vector<float> room;
  room.resize(std::min(kRows, tokens) * channels);
  const uint64_t dense = dense_axes(coordinates, tokens, axes);
  for (uint64_t t = 0; t < tokens; t += kRows) {
    const uint64_t rows = std::min(kRows, tokens - t);
    expand(span, coordinates + t * axes, rows, axes, dense, room.data());
    for (uint64_t h = 0; h < plane.heads; ++h) {
      auto& to = plane.values ? arrays.values : arrays.keys;
      float* out = to.data() + ((plane.first + h) * tokens + t) * size;
      for (uint64_t r = 0; r < rows; ++r) {
        const float* from = room.data() + r * channels + h * size;
        const float* mean = span.mean.data() + h * size;
        for (uint64_t c = 0; c < size; ++c) out[r * size + c] = from[c] * span.scale[h] + mean[c];
      }
    }
  }
}

}  // namespace pith::kv
