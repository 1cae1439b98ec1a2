#include "pith/model/axes_profile.h"

#include <cmath>

#include "pith/base/error.h"
#include "pith/math/eigen.h"
#include "rope.h"

namespace pith::model {
namespace {

// rows: those of a head, each of `width` weights.
kv::Span span_of(const Linear& linear, bool values, uint64_t head, uint64_t first,
                 uint64_t head_size) {
  const uint64_t width = linear.weight->shape().cols, begin = head * head_size;
  std::vector<float> rows(head_size * width), columns(rows.size());
  linear.weight->decode(begin, begin + head_size, rows.data());
  for (uint64_t r = 0; r < head_size; ++r) {
    for (uint64_t c = 0; c < width; ++c) columns[c * head_size + r] = rows[r * width + c];
  }
  kv::Span span{.values = values, .first = first, .heads = 1};
  span.mean.assign(head_size, 0);
  for (uint64_t c = 0; values && !linear.bias.empty() && c < head_size; ++c)
    span.mean[c] = linear.bias[begin + c];
  span.scale = {1};
  math::SymmetricEigen e = math::symmetric_eigen(
      math::gram(columns.data(), width, head_size, head_size).data(), head_size);
  for (const float v : e.values) span.deviations.push_back(std::sqrt(std::max(0.0F, v)));
  span.axes = std::move(e.vectors);
  return span;
}

}  // namespace

kv::Rotation rotation_of(const DecoderConfig& config) {
  kv::Rotation plain{.base = config.rope_base,
                     .neighbours = config.rope_layout != RopeLayout::kHalves};
  const std::vector<double> frequencies = Rope(config, 1).frequencies();
  kv::Rotation own = plain;
  own.frequencies.assign(frequencies.begin(), frequencies.end());
  return kv::alike(own, plain, config.head_size) ? plain : own;
}

kv::Profile weight_profile(const LanguageModel& model) {
  const DecoderConfig& c = model.config();
  kv::Profile p{
      .heads = {}, .head_size = c.head_size, .rotation = rotation_of(c), .spans = {}, .id = 0};
  for (const bool values : {false, true}) {
    uint64_t first = 0;
    for (uint32_t l = 0; l < c.layers; ++l) {
      const DecoderLayer& layer = model.weights().layers[l];
      if (!layer.has_attention())
        fail(ErrorKind::kUsage, "layer {} has no attention, whose axes are asked for", l);
      const uint64_t heads = c.sizes(l).kv_heads;
      if (!values) p.heads.push_back(heads);
      for (uint64_t h = 0; h < heads; ++h)
        p.spans.push_back(span_of(values ? layer.v : layer.k, values, h, first++, c.head_size));
    }
  }
  p.set_id();
  return p;
}

}  // namespace pith::model
