#include "pith/kv/past.h"

#include <algorithm>

#include "pith/base/error.h"

namespace pith::kv {
namespace {

using form::Expression;
using form::Matrix;
using form::Range;
using form::Value;

// to[c][t] = from[t][c].
void transpose(const float* from, uint64_t rows, uint64_t cols, uint64_t from_stride, float* to,
               uint64_t to_stride) {
  constexpr uint64_t kBlock = 16;
  for (uint64_t r = 0; r < rows; r += kBlock) {
    for (uint64_t c = 0; c < cols; ++c) {
      for (uint64_t k = r; k < std::min(rows, r + kBlock); ++k)
        to[c * to_stride + k] = from[k * from_stride + c];
    }
  }
}

Expression part(const Expression& form, By by, int64_t begin, std::optional<int64_t> end) {
  return Expression::call(
      "part", {{"", Value(form)}, {by == By::kToken ? "rows" : "cols", Value(Range{begin, end})}});
}

// The form, with the first `exact` tokens in f16.
Expression with_exact(const Coding& coding, uint64_t exact) {
  if (exact == 0) return coding.form;
  const Expression plain = Expression::call("dense", {{"", Value(Expression::call("f16"))}});
  if (exact >= kTileTokens) return plain;
  const auto at = static_cast<int64_t>(exact);
  return Expression::call("tiles", {{"", Value(part(plain, coding.by, 0, at))},
                                    {"", Value(part(coding.form, coding.by, at, {}))}});
}

form::FormPtr encoded(const Coding& coding, uint64_t exact, const float* rows, uint64_t head_size) {
  const Expression expression = with_exact(coding, exact);
  if (coding.by == By::kToken) return form::encode(expression, {rows, {kTileTokens, head_size}});
  Matrix turned({head_size, kTileTokens});
  transpose(rows, kTileTokens, head_size, head_size, turned.values.data(), kTileTokens);
  return form::encode(expression, turned.view());
}

}  // namespace

void Past::add(const CacheOptions& options, const float* keys, const float* values,
               uint64_t head_size) {
  const uint64_t before = tiles_.size() * kTileTokens;
  const uint64_t exact = options.sink > before ? options.sink - before : 0;
  tiles_.push_back({encoded(options.keys, exact, keys, head_size),
                    encoded(options.values, exact, values, head_size), options.keys.by,
                    options.values.by});
}

void Past::load(uint64_t tile, float* keys, float* values, uint64_t padded) const {
  const Tile& t = tiles_.at(tile);
  thread_local std::vector<float> room;
  if (t.keys_by == By::kChannel) {
    t.keys->decode(0, t.keys->shape().rows, keys);
  } else {
    const uint64_t channels = t.keys->shape().cols;
    room.resize(kTileTokens * channels);
    t.keys->decode(0, kTileTokens, room.data());
    transpose(room.data(), kTileTokens, channels, channels, keys, kTileTokens);
  }
  if (t.values_by == By::kToken) {
    const uint64_t channels = t.values->shape().cols;
    if (channels == padded) return t.values->decode(0, kTileTokens, values);
    room.resize(kTileTokens * channels);
    t.values->decode(0, kTileTokens, room.data());
    for (uint64_t r = 0; r < kTileTokens; ++r)
      std::copy_n(room.data() + r * channels, channels, values + r * padded);
  } else {
    const uint64_t channels = t.values->shape().rows;
    room.resize(kTileTokens * channels);
    t.values->decode(0, channels, room.data());
    transpose(room.data(), channels, kTileTokens, kTileTokens, values, padded);
  }
}

uint64_t Past::bits() const {
  uint64_t sum = 0;
  for (const Tile& t : tiles_) sum += form::bits(*t.keys) + form::bits(*t.values);
  return sum;
}

}  // namespace pith::kv
