#include "pith/kv/head_axes.h"

#include <algorithm>
#include <cmath>

#include "pith/base/random.h"
#include "pith/math/matrix_product.h"

namespace pith::kv {
namespace {

using form::Expression;
using form::Matrix;
using form::Range;
using form::Value;

Expression part(const Expression& form, By by, int64_t begin, std::optional<int64_t> end) {
  return Expression::call(
      "part",
      {{"", Value(form)}, {by == By::kChannel ? "rows" : "cols", Value(Range{begin, end})}});
}

// The first axes in one form, the others in another.
Expression with_rest(const Coding& coding, const Expression& rest, uint64_t kept) {
  const auto at = static_cast<int64_t>(kept);
  return Expression::call("tiles", {{"", Value(part(coding.form, coding.by, 0, at))},
                                    {"", Value(part(rest, coding.by, at, {}))}});
}

// What a unit of a coordinate weighs, squared: what is lost with an axis, over its variance.
double weight(const Span& span, uint64_t axis) {
  constexpr double kLeast = 1e-12;
  const double variance = std::pow(double{span.deviations[axis]}, 2);
  return (std::max(0.0, double{span.important(axis)}) + kLeast) / (variance + kLeast);
}

// Their geometric mean over all axes.
double mean_weight(const Profile& profile) {
  double sum = 0, count = 0;
  for (const Span& s : profile.spans) {
    for (uint64_t a = 0; a < s.count(); ++a, ++count) sum += std::log(weight(s, a));
  }
  return std::exp(sum / count);
}

}  // namespace

HeadAxes::Side HeadAxes::side(const Coding& coding, const AxesOptions& axes, const Span& span,
                              uint64_t kept, double unit) {
  kept = std::clamp<uint64_t>(kept, 1, span.count());
  Side s{&span, kept, coding, {}, {}, {}};
  if (axes.rest && kept < span.count()) {
    s.count = span.count();
    s.coding.form = with_rest(coding, *axes.rest, kept);
  }
  const uint64_t channels = span.channels();
  for (uint64_t a = 0; a < s.count; ++a) {
    const double u = std::clamp(std::sqrt(weight(span, a) / unit), 1e-3, 1e3);
    s.units.push_back(static_cast<float>(u));
    for (uint64_t c = 0; c < channels; ++c) {
      s.to.push_back(span.axes[a * channels + c] * s.units[a]);
      s.from.push_back(span.back()[a * channels + c] / s.units[a]);
    }
  }
  return s;
}

HeadAxes::HeadAxes(const CacheOptions& options, const Span& keys, uint64_t kept_of_keys,
                   const Span& values, uint64_t kept_of_values, double unit,
                   std::shared_ptr<const TileRotator> rotator)
    : profile_(options.axes->profile),
      keys_(side(options.keys, *options.axes, keys, kept_of_keys, unit)),
      values_(side(options.values, *options.axes, values, kept_of_values, unit)),
      rotator_(std::move(rotator)) {}

form::FormPtr HeadAxes::Side::encode_coordinates(Matrix coordinates) const {
  return form::encode(coding.form, coordinates.view());
}

form::FormPtr HeadAxes::Side::encode(std::vector<float> rows, uint64_t tokens) const {
  const uint64_t channels = span->channels();
  for (uint64_t t = 0; t < tokens; ++t) {
    for (uint64_t c = 0; c < channels; ++c)
      rows[t * channels + c] = (rows[t * channels + c] - span->mean[c]) / span->scale[0];
  }
  const auto of_tokens = math::row_major(rows.data(), tokens, channels);
  const auto axes = math::row_major(to.data(), count, channels);
  if (coding.by == By::kToken) {
    Matrix m({tokens, count});
    math::matrix_product(of_tokens, axes.transposed(), m.values.data(), count);
    return encode_coordinates(std::move(m));
  }
  Matrix m({count, tokens});
  math::matrix_product(axes, of_tokens.transposed(), m.values.data(), tokens);
  return encode_coordinates(std::move(m));
}

void HeadAxes::Side::decode(const form::Form& form, uint64_t tokens, float* rows,
                            uint64_t stride) const {
  thread_local std::vector<float> room;
  const auto [high, wide] = form.shape();
  room.resize(high * wide);
  form.decode(0, high, room.data());
  const auto as_stored = math::row_major<float>(room.data(), high, wide);
  const uint64_t channels = span->channels();
  math::matrix_product(coding.by == By::kToken ? as_stored : as_stored.transposed(),
                       math::row_major(from.data(), count, channels), rows, stride);
  const float scale = span->scale[0];
  const float* mean = span->mean.data();
  for (uint64_t t = 0; t < tokens; ++t) {
    float* row = rows + t * stride;
    for (uint64_t c = 0; c < channels; ++c) row[c] = row[c] * scale + mean[c];
  }
}

form::FormPtr HeadAxes::encode_keys(const float* rows, uint64_t first, uint64_t count) const {
  std::vector<float> plain(rows, rows + count * keys_.span->channels());
  rotator_->undo(plain.data(), first, count);
  return keys_.encode(std::move(plain), count);
}

form::FormPtr HeadAxes::encode_values(const float* rows, uint64_t count) const {
  return values_.encode({rows, rows + count * values_.span->channels()}, count);
}

void HeadAxes::decode_keys(const form::Form& form, uint64_t first, uint64_t count,
                           float* rows) const {
  keys_.decode(form, count, rows, keys_.span->channels());
  rotator_->redo(rows, first, count);
}

void HeadAxes::decode_values(const form::Form& form, uint64_t count, float* rows,
                             uint64_t stride) const {
  values_.decode(form, count, rows, stride);
}

uint64_t HeadAxes::tile_bits(uint64_t count) const {
  uint64_t bits = 0;
  for (const Side* s : {&keys_, &values_}) {
    const bool by_token = s->coding.by == By::kToken;
    Matrix m(by_token ? form::Shape{count, s->count} : form::Shape{s->count, count});
    for (uint64_t i = 0; i < m.values.size(); ++i) {
      const uint64_t axis = by_token ? i % s->count : i / count;
      m.values[i] =
          static_cast<float>(random_normal(1, i)) * s->span->deviations[axis] * s->units[axis];
    }
    bits += form::bits(*s->encode_coordinates(std::move(m)));
  }
  return bits;
}

std::vector<std::shared_ptr<const HeadAxes>> head_axes(const CacheOptions& options) {
  const AxesOptions& axes = *options.axes;
  const Profile& p = *axes.profile;
  const std::vector<uint64_t> kept = ranks_within(p, axes.kept, axes.ranks);
  const auto rotator = std::make_shared<const TileRotator>(p.rotation, p.head_size, kTileTokens);
  const double unit = mean_weight(p);
  uint64_t heads = 0;
  for (const uint64_t h : p.heads) heads += h;
  std::vector<size_t> keys(heads), values(heads);
  for (size_t s = 0; s < p.spans.size(); ++s)
    (p.spans[s].values ? values : keys).at(p.spans[s].first) = s;
  std::vector<std::shared_ptr<const HeadAxes>> out;
  for (uint64_t h = 0; h < heads; ++h) {
    out.push_back(std::make_shared<const HeadAxes>(options, p.spans[keys[h]], kept[keys[h]],
                                                   p.spans[values[h]], kept[values[h]], unit,
                                                   rotator));
  }
  return out;
}

}  // namespace pith::kv
