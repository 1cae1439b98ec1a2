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

// The form of `count` tokens, the first `exact` of them in f16.
Expression with_exact(const Coding& coding, uint64_t exact, uint64_t count) {
  if (exact == 0) return coding.form;
  const Expression plain = Expression::call("dense", {{"", Value(Expression::call("f16"))}});
  if (exact >= count) return plain;
  const auto at = static_cast<int64_t>(exact);
  return Expression::call("tiles", {{"", Value(part(plain, coding.by, 0, at))},
                                    {"", Value(part(coding.form, coding.by, at, {}))}});
}

form::FormPtr encoded(const Coding& coding, uint64_t exact, const float* rows, uint64_t count,
                      uint64_t head_size) {
  const Expression expression = with_exact(coding, exact, count);
  if (coding.by == By::kToken) return form::encode(expression, {rows, {count, head_size}});
  Matrix turned({head_size, count});
  transpose(rows, count, head_size, head_size, turned.values.data(), count);
  return form::encode(expression, turned.view());
}

// Rows of the form, `stride` floats apart.
void decode_rows(const form::Form& form, float* out, uint64_t stride) {
  const auto [rows, cols] = form.shape();
  if (cols == stride) return form.decode(0, rows, out);
  thread_local std::vector<float> room;
  room.resize(rows * cols);
  form.decode(0, rows, room.data());
  for (uint64_t r = 0; r < rows; ++r) std::copy_n(room.data() + r * cols, cols, out + r * stride);
}

// Its columns as rows, `stride` floats apart.
void decode_columns(const form::Form& form, float* out, uint64_t stride) {
  const auto [rows, cols] = form.shape();
  thread_local std::vector<float> room;
  room.resize(rows * cols);
  form.decode(0, rows, room.data());
  transpose(room.data(), rows, cols, cols, out, stride);
}

}  // namespace

void Past::add(const CacheOptions& options, const float* keys, const float* values, uint64_t count,
               uint64_t head_size) {
  const uint64_t first = tokens();
  const uint64_t exact = options.sink > first ? options.sink - first : 0;
  tiles_.push_back({first, count, encoded(options.keys, exact, keys, count, head_size),
                    encoded(options.values, exact, values, count, head_size), options.keys.by,
                    options.values.by});
}

void Past::load(uint64_t tile, float* keys, float* values, uint64_t padded) const {
  const Tile& t = tiles_.at(tile);
  t.keys_by == By::kChannel ? decode_rows(*t.keys, keys, kTileTokens)
                            : decode_columns(*t.keys, keys, kTileTokens);
  t.values_by == By::kToken ? decode_rows(*t.values, values, padded)
                            : decode_columns(*t.values, values, padded);
}

uint64_t Past::bits() const {
  uint64_t sum = 0;
  for (const Tile& t : tiles_) sum += form::bits(*t.keys) + form::bits(*t.values);
  return sum;
}

}  // namespace pith::kv
