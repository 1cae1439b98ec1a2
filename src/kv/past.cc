#include "pith/kv/past.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "pith/base/error.h"
#include "pith/base/half.h"
#include "pith/form/compose.h"
#include "pith/kv/head_axes.h"

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

// The tokens of a tile as rows, behind those that there are.
void append_rows(const form::Form& form, By by, uint64_t count, std::vector<float>& rows) {
  const uint64_t channels = form.shape().size() / count, before = rows.size();
  rows.resize(before + count * channels);
  by == By::kToken ? decode_rows(form, rows.data() + before, channels)
                   : decode_columns(form, rows.data() + before, channels);
}

// The least and the largest of each channel, or the mean.
void summarize(Reads::By by, const float* keys, uint64_t count, uint64_t head_size,
               std::vector<float>& low, std::vector<float>& high) {
  low.assign(keys, keys + head_size);
  if (by == Reads::By::kBound) high = low;
  for (uint64_t t = 1; t < count; ++t) {
    for (uint64_t c = 0; c < head_size; ++c) {
      const float k = keys[t * head_size + c];
      if (by == Reads::By::kMean) {
        low[c] += k;
      } else {
        low[c] = std::min(low[c], k);
        high[c] = std::max(high[c], k);
      }
    }
  }
  if (by == Reads::By::kMean) {
    for (float& v : low) v /= static_cast<float>(count);
  }
}

// For each channel the root of its largest size over that of queries, as f16 has it; 1 where that
// is nothing or too large.
std::vector<float> balance(const float* keys, uint64_t count, std::span<const float> queries,
                           uint64_t head_size) {
  std::vector<float> most(head_size), units(head_size, 1);
  for (uint64_t i = 0; i < count * head_size; ++i)
    most[i % head_size] = std::max(most[i % head_size], std::fabs(keys[i]));
  for (uint64_t c = 0; c < std::min<uint64_t>(head_size, queries.size()); ++c) {
    const float unit = float_from_f16(f16_from_float(std::sqrt(most[c] / queries[c])));
    if (std::isfinite(unit) && unit > 0) units[c] = unit;
  }
  return units;
}

}  // namespace

void Past::summarize_last(const CacheOptions& options, const float* keys, uint64_t count,
                          uint64_t head_size, std::vector<Tile>& of) {
  if (options.reads)
    summarize(options.reads->by, keys, count, head_size, of.back().low, of.back().high);
}

void Past::see_queries(std::span<const float> queries, uint64_t head_size) {
  query_sizes_.resize(head_size);
  for (size_t i = 0; i < queries.size(); ++i) {
    float& most = query_sizes_[i % head_size];
    most = std::max(most, std::fabs(queries[i]));
  }
}

form::FormPtr Past::encoded_keys(const CacheOptions& options, uint64_t exact, const float* keys,
                                 uint64_t count, uint64_t head_size) const {
  if (!options.balanced) return encoded(options.keys, exact, keys, count, head_size);
  const std::vector<float> units = balance(keys, count, query_sizes_, head_size);
  std::vector<float> rows(keys, keys + count * head_size);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] /= units[i % head_size];
  return form::scaled_columns(units, encoded(options.keys, exact, rows.data(), count, head_size));
}

void Past::append(const CacheOptions& options, uint64_t exact, const float* keys,
                  const float* values, uint64_t count, uint64_t head_size,
                  std::vector<Tile>& to) const {
  const uint64_t first = tokens_of(to);
  to.push_back({first,
                count,
                encoded_keys(options, exact, keys, count, head_size),
                encoded(options.values, exact, values, count, head_size),
                options.keys.by,
                options.values.by,
                false,
                {},
                {}});
  summarize_last(options, keys, count, head_size, to);
}

void Past::add_along_axes(const CacheOptions& options, const float* keys, const float* values,
                          uint64_t count, uint64_t head_size) {
  for (uint64_t at = 0; at < count;) {
    const uint64_t first = kept(), exact = options.sink > first ? options.sink - first : 0;
    const uint64_t n = std::min({options.tile, count - at, exact > 0 ? exact : options.tile});
    const float *k = keys + at * head_size, *v = values + at * head_size;
    at += n;
    if (exact > 0) {
      append(options, n, k, v, n, head_size, kept_);
    } else {
      kept_.push_back({first,
                       n,
                       axes_->encode_keys(k, first, n),
                       axes_->encode_values(v, n),
                       options.keys.by,
                       options.values.by,
                       true,
                       {},
                       {}});
      summarize_last(options, k, n, head_size, kept_);
    }
  }
}

void Past::add(const CacheOptions& options, const float* keys, const float* values, uint64_t count,
               uint64_t head_size) {
  if (axes_) return add_along_axes(options, keys, values, count, head_size);
  for (uint64_t at = 0; at < count; at += options.tile) {
    const uint64_t first = kept(), exact = options.sink > first ? options.sink - first : 0;
    append(options, exact, keys + at * head_size, values + at * head_size,
           std::min(options.tile, count - at), head_size, kept_);
  }
}

void Past::add_spans(const CacheOptions& options, std::span<const uint32_t> ends, const float* keys,
                     const float* values, uint64_t count, uint64_t head_size) {
  for (uint64_t at = 0; at < count;) {
    const auto next = std::ranges::lower_bound(ends, static_cast<uint32_t>(at));
    const uint64_t end = next == ends.end() ? count : *next + 1;
    const uint64_t n = std::min(end - at, options.tile);
    Rows rows;
    if (open_ && kept_.back().count + n <= options.tile) {
      const Tile& last = kept_.back();
      append_rows(*last.keys, last.keys_by, last.count, rows.keys);
      append_rows(*last.values, last.values_by, last.count, rows.values);
      kept_.pop_back();
    }
    const auto more = [&](std::vector<float>& to, const float* from) {
      to.insert(to.end(), from + at * head_size, from + (at + n) * head_size);
    };
    more(rows.keys, keys);
    more(rows.values, values);
    const uint64_t first = kept(), exact = options.sink > first ? options.sink - first : 0;
    append(options, exact, rows.keys.data(), rows.values.data(), rows.keys.size() / head_size,
           head_size, kept_);
    at += n;
    open_ = at == count && next == ends.end();
  }
}

void Past::add_rest(const CacheOptions& options, const Expression& form, const Rows& rows,
                    uint64_t head_size) {
  CacheOptions with = options;
  with.keys.form = with.values.form = form;
  const uint64_t count = rows.keys.size() / head_size;
  for (uint64_t at = 0; at < count; at += kTileTokens)
    append(with, 0, rows.keys.data() + at * head_size, rows.values.data() + at * head_size,
           std::min(kTileTokens, count - at), head_size, rest_);
}

void Past::keep(const CacheOptions& options, std::span<const uint32_t> stay, uint64_t head_size) {
  const std::vector<Tile> before = std::exchange(kept_, {});
  Rows rows, left;  // left: those that wait for enough others to make a tile
  const auto flush = [&] {
    add(options, left.keys.data(), left.values.data(), left.keys.size() / head_size, head_size);
    left = {};
  };
  size_t next = 0;
  for (const Tile& tile : before) {
    const size_t begin = next;
    while (next < stay.size() && stay[next] < tile.first + tile.count) ++next;
    if (next == begin) continue;
    // A tile all of whose tokens stay is left as it is, unless it is small beside what waits.
    const bool whole = next - begin == tile.count;
    if (whole && (left.keys.empty() || tile.count >= options.tile)) {
      flush();
      const uint64_t first = kept();
      kept_.push_back(tile);
      kept_.back().first = first;
      continue;
    }
    rows = {};
    append_rows(*tile.keys, tile.keys_by, tile.count, rows.keys);
    append_rows(*tile.values, tile.values_by, tile.count, rows.values);
    for (size_t i = begin; i < next; ++i) {
      const auto at = static_cast<std::ptrdiff_t>((stay[i] - tile.first) * head_size);
      const auto size = static_cast<std::ptrdiff_t>(head_size);
      left.keys.insert(left.keys.end(), rows.keys.begin() + at, rows.keys.begin() + at + size);
      left.values.insert(left.values.end(), rows.values.begin() + at,
                         rows.values.begin() + at + size);
    }
    if (left.keys.size() >= options.tile * head_size) flush();
  }
  flush();
}

void Past::turn(const CacheOptions& options, std::span<const int64_t> by,
                const std::function<void(float* key, int64_t by)>& turn, uint64_t head_size) {
  for (Tile& tile : kept_) {
    const std::span<const int64_t> of = by.subspan(tile.first, tile.count);
    if (std::ranges::all_of(of, [](int64_t n) { return n == 0; })) continue;
    std::vector<float> rows;
    append_rows(*tile.keys, tile.keys_by, tile.count, rows);
    for (uint64_t t = 0; t < tile.count; ++t) {
      if (of[t] != 0) turn(rows.data() + t * head_size, of[t]);
    }
    const uint64_t exact = options.sink > tile.first ? options.sink - tile.first : 0;
    tile.keys = encoded_keys(options, exact, rows.data(), tile.count, head_size);
  }
}

Past::Rows Past::kept_rows(uint64_t head_size) const {
  Rows rows;
  rows.keys.reserve(kept() * head_size);
  rows.values.reserve(kept() * head_size);
  for (const Tile& t : kept_) {
    append_rows(*t.keys, t.keys_by, t.count, rows.keys);
    append_rows(*t.values, t.values_by, t.count, rows.values);
  }
  return rows;
}

float Past::promise(uint64_t tile, const float* query) const {
  const Tile& t = at(tile);
  float sum = 0;
  for (size_t c = 0; c < t.low.size(); ++c) {
    const float low = query[c] * t.low[c];
    sum += t.high.empty() ? low : std::max(low, query[c] * t.high[c]);
  }
  return sum;
}

void Past::clear() {
  kept_.clear();
  rest_.clear();
  open_ = false;
  query_sizes_.clear();
}

void Past::load_keys(uint64_t tile, float* keys) const {
  const Tile& t = at(tile);
  if (t.along_axes) {
    const uint64_t size = axes_->head_size();
    thread_local std::vector<float> rows;
    rows.resize(t.count * size);
    axes_->decode_keys(*t.keys, t.first, t.count, rows.data());
    return transpose(rows.data(), t.count, size, size, keys, kTileTokens);
  }
  t.keys_by == By::kChannel ? decode_rows(*t.keys, keys, kTileTokens)
                            : decode_columns(*t.keys, keys, kTileTokens);
}

void Past::load_values(uint64_t tile, float* values, uint64_t padded) const {
  const Tile& t = at(tile);
  if (t.along_axes) return axes_->decode_values(*t.values, t.count, values, padded);
  t.values_by == By::kToken ? decode_rows(*t.values, values, padded)
                            : decode_columns(*t.values, values, padded);
}

uint64_t Past::bits() const {
  uint64_t sum = 0;
  for (const std::vector<Tile>* tiles : {&kept_, &rest_}) {
    for (const Tile& t : *tiles) {
      sum += form::bits(*t.keys) + form::bits(*t.values);
      sum += (t.low.size() + t.high.size()) * 32;
    }
  }
  return sum;
}

}  // namespace pith::kv
