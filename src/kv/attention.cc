#include "pith/kv/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "pith/kv/cache.h"
#include "tile_products.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/kv/attention.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "pith/math/vector_exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pith::kv::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using math::HWY_NAMESPACE::vector_exp;

using D = hn::CappedTag<float, kKeyBlock>;
using V = hn::Vec<D>;

// Rows that are worked off together, so that keys and values are read once for all of them.
constexpr uint64_t kRows = 8;

// The keys and values of up to kTileTokens positions from `first` on, with room behind them for a
// vector of others; null where they are taken from the forms of a tile of `past`.
struct Tile {
  uint64_t first = 0, count = 0;
  const float *keys = nullptr, *values = nullptr;
  uint64_t block_stride = 0, element_stride = 0;  // of keys: from 16 positions to the next
  uint64_t index = 0;                             // in `past`

  const float* key(uint64_t position) const {
    return keys + position / kKeyBlock * block_stride + position % kKeyBlock;
  }
};

struct Batch {
  uint64_t begin_row = 0, rows = 0;
  std::array<const float*, kRows> queries;
  std::array<float*, kRows> out;
  std::array<uint64_t, kRows> first, last;  // positions that each sees
  std::array<uint64_t, kRows> begin, end;   // of them, those that are worked off now
  std::array<float, kRows> most, sum;       // of the scores so far
  uint64_t low = 0, high = 0;               // positions that any of them works off
  float* sums = nullptr;                    // kRows x padded: values weighted so far
  std::optional<TileQueries> of_tiles;      // the queries as forms take them
  alignas(64) std::array<float, kRows * kTileTokens> scores;
};

// scores[row][position] of kVectors vectors of positions at a time, from `at` in the tile.
template <uint64_t kCount, uint64_t kVectors>
HWY_INLINE void score(const SharedHead& head, const Tile& tile, uint64_t first, uint64_t at,
                      Batch& batch) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  std::array<const float*, kVectors> keys;
  for (uint64_t v = 0; v < kVectors; ++v) {
    keys[v] = tile.key(at + v * lanes);
  }
  V sums[kCount][kVectors];
  for (uint64_t r = 0; r < kCount; ++r) {
    for (uint64_t v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  for (uint64_t i = 0; i < head.head_size; ++i) {
    V k[kVectors];
    for (uint64_t v = 0; v < kVectors; ++v) k[v] = hn::LoadU(d, keys[v] + i * tile.element_stride);
    for (uint64_t r = 0; r < kCount; ++r) {
      const V q = hn::Set(d, batch.queries[first + r][i]);
      for (uint64_t v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(q, k[v], sums[r][v]);
    }
  }
  for (uint64_t r = 0; r < kCount; ++r) {
    for (uint64_t v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[r][v], d, batch.scores.data() + (first + r) * kTileTokens + at + v * lanes);
    }
  }
}

template <uint64_t kCount>
HWY_INLINE void score_rows(const SharedHead& head, const Tile& tile, uint64_t first, uint64_t size,
                           Batch& batch) {
  // As many sums as hide the latency of one; a tile is a multiple of any such step.
  constexpr uint64_t kVectors = 8 / kCount;
  const size_t lanes = hn::Lanes(D());
  for (uint64_t at = 0; at < size; at += kVectors * lanes) {
    score<kCount, kVectors>(head, tile, first, at, batch);
  }
}

// Calls f with kCount rows at a time: eight, four, two, one.
template <class F>
HWY_INLINE void in_groups(uint64_t rows, const F& f) {
  uint64_t r = 0;
  for (; r + 8 <= rows; r += 8) f.template operator()<8>(r);
  for (; r + 4 <= rows; r += 4) f.template operator()<4>(r);
  for (; r + 2 <= rows; r += 2) f.template operator()<2>(r);
  for (; r < rows; ++r) f.template operator()<1>(r);
}

// Scores of a row become weights relative to the running maximum; what was summed is scaled to it.
HWY_INLINE void weigh(uint64_t row, uint64_t tile, uint64_t size, uint64_t padded, Batch& batch) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  float* scores = batch.scores.data() + row * kTileTokens;
  const uint64_t whole = (size + lanes - 1) / lanes * lanes;
  const uint64_t begin = std::clamp(batch.begin[row], tile, tile + whole) - tile;
  const uint64_t end = std::clamp(batch.end[row], tile, tile + size) - tile;
  std::fill(scores, scores + begin, kNone);
  std::fill(scores + end, scores + whole, kNone);
  V tops = hn::Set(d, kNone);
  for (uint64_t i = 0; i < whole; i += lanes) tops = hn::Max(tops, hn::Load(d, scores + i));
  const float most = std::max(batch.most[row], hn::GetLane(hn::MaxOfLanes(d, tops)));
  if (most == kNone) {  // this row sees nothing here
    std::fill(scores, scores + whole, 0.0F);
    return;
  }
  const V shift = hn::Set(d, most);
  V sums = hn::Zero(d);
  for (uint64_t i = 0; i < whole; i += lanes) {
    const V weight = vector_exp(d, hn::Sub(hn::Load(d, scores + i), shift));
    hn::Store(weight, d, scores + i);
    sums = hn::Add(sums, weight);
  }
  const float added = hn::GetLane(hn::SumOfLanes(d, sums));
  if (most != batch.most[row]) {
    const float shrink = std::exp(batch.most[row] - most);
    float* total = batch.sums + row * padded;
    for (uint64_t i = 0; i < padded; i += lanes) {
      hn::StoreU(hn::Mul(hn::LoadU(d, total + i), hn::Set(d, shrink)), d, total + i);
    }
    batch.sum[row] *= shrink;
    batch.most[row] = most;
  }
  batch.sum[row] += added;
}

// sums[row] += weight * value over positions [begin, end) of the tile, kVectors vectors from `at`.
template <uint64_t kCount, uint64_t kVectors>
HWY_INLINE void gather(const SharedHead& head, const Tile& tile, uint64_t first, uint64_t begin,
                       uint64_t end, uint64_t at, Batch& batch) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const uint64_t padded = head.padded_size;
  V sums[kCount][kVectors];
  for (uint64_t r = 0; r < kCount; ++r) {
    for (uint64_t v = 0; v < kVectors; ++v) {
      sums[r][v] = hn::LoadU(d, batch.sums + (first + r) * padded + at + v * lanes);
    }
  }
  const float* value = tile.values + begin * padded + at;
  const float* weights = batch.scores.data() + first * kTileTokens;
  for (uint64_t t = begin; t < end; ++t, value += padded) {
    V x[kVectors];
    for (uint64_t v = 0; v < kVectors; ++v) x[v] = hn::LoadU(d, value + v * lanes);
    for (uint64_t r = 0; r < kCount; ++r) {
      const V w = hn::Set(d, weights[r * kTileTokens + t]);
      for (uint64_t v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(w, x[v], sums[r][v]);
    }
  }
  for (uint64_t r = 0; r < kCount; ++r) {
    for (uint64_t v = 0; v < kVectors; ++v) {
      hn::StoreU(sums[r][v], d, batch.sums + (first + r) * padded + at + v * lanes);
    }
  }
}

template <uint64_t kCount>
HWY_INLINE void gather_rows(const SharedHead& head, const Tile& tile, uint64_t first,
                            uint64_t begin, uint64_t end, Batch& batch) {
  constexpr uint64_t kVectors = kCount >= 4 ? 2 : 4;
  const size_t lanes = hn::Lanes(D());
  uint64_t at = 0;
  for (; at + kVectors * lanes <= head.padded_size; at += kVectors * lanes) {
    gather<kCount, kVectors>(head, tile, first, begin, end, at, batch);
  }
  for (; at < head.padded_size; at += lanes) {
    gather<kCount, 1>(head, tile, first, begin, end, at, batch);
  }
}

void score_tile(const SharedHead& head, const Tile& tile, uint64_t size, Batch& batch) {
  if (!tile.keys)
    return batch.of_tiles->score(*head.past, tile.index, batch.scores.data(), kTileTokens);
  in_groups(batch.rows, [&]<uint64_t kCount>(uint64_t first) {
    score_rows<kCount>(head, tile, first, size, batch);
  });
}

// Adds the values of positions [begin, end) of the tile.
void gather_tile(const SharedHead& head, const Tile& tile, uint64_t begin, uint64_t end,
                 Batch& batch) {
  if (!tile.values) {
    // Forms take all of their tokens.
    for (uint64_t r = 0; r < batch.rows; ++r)
      std::fill(batch.scores.data() + r * kTileTokens + end,
                batch.scores.data() + r * kTileTokens + tile.count, 0.0F);
    return add_values(*head.past, tile.index,
                      {batch.scores.data(), kTileTokens, batch.rows, batch.sums, head.padded_size});
  }
  in_groups(batch.rows, [&]<uint64_t kCount>(uint64_t first) {
    if constexpr (kCount == 8) {
      gather_rows<4>(head, tile, first, begin, end, batch);
      gather_rows<4>(head, tile, first + 4, begin, end, batch);
    } else {
      gather_rows<kCount>(head, tile, first, begin, end, batch);
    }
  });
}

void attend_tile(const SharedHead& head, const Tile& tile, Batch& batch) {
  if (batch.high <= tile.first || batch.low >= tile.first + tile.count) return;
  const uint64_t size = std::min(batch.high - tile.first, tile.count);
  const uint64_t begin = batch.low > tile.first ? batch.low - tile.first : 0;
  score_tile(head, tile, size, batch);
  for (uint64_t r = 0; r < batch.rows; ++r) weigh(r, tile.first, size, head.padded_size, batch);
  gather_tile(head, tile, begin, size, batch);
}

// What the softmax of this row gave the row's own position, the last that it sees.
void note_own(const SharedHead& head, uint64_t row, uint64_t r, const Batch& batch) {
  const uint64_t at = row / head.group, position = head.first + at;
  const uint64_t kept = position - head.base;
  const float* key = head.keys + kept / kKeyBlock * kKeyBlock * head.head_size + kept % kKeyBlock;
  float score = 0;
  for (uint64_t i = 0; i < head.head_size; ++i) score += batch.queries[r][i] * key[i * kKeyBlock];
  head.own[at * head.own_stride + row % head.group] =
      std::exp(score - batch.most[r]) / batch.sum[r];
}

void begin_batch(const SharedHead& head, uint64_t begin, uint64_t end, Batch& batch) {
  batch.begin_row = begin;
  batch.rows = end - begin;
  for (uint64_t r = 0; r < batch.rows; ++r) {
    const uint64_t at = (begin + r) / head.group, of = (begin + r) % head.group;
    batch.queries[r] = head.queries + at * head.stride + of * head.head_size;
    batch.out[r] = head.out + at * head.stride + of * head.head_size;
    batch.last[r] = head.first + at + 1;
    const bool slides = head.window != 0 && batch.last[r] > head.window;
    batch.first[r] = slides ? batch.last[r] - head.window : 0;
    batch.most[r] = -std::numeric_limits<float>::infinity();
    batch.sum[r] = 0;
  }
  std::fill(batch.sums, batch.sums + batch.rows * head.padded_size, 0.0F);
}

// What is worked off next: what rows see of positions begin … end - 1.
void look_at(uint64_t begin, uint64_t end, Batch& batch) {
  batch.low = UINT64_MAX;
  batch.high = 0;
  for (uint64_t r = 0; r < batch.rows; ++r) {
    batch.begin[r] = std::clamp(batch.first[r], begin, end);
    batch.end[r] = std::clamp(batch.last[r], begin, end);
    batch.low = std::min(batch.low, batch.begin[r]);
    batch.high = std::max(batch.high, batch.end[r]);
  }
}

// The sum of exponentials so far, which stands relative to `most`, to this power.
void raise(float power, Batch& batch) {
  for (uint64_t r = 0; r < batch.rows; ++r) {
    if (batch.sum[r] > 0) batch.most[r] += (power - 1) * (batch.most[r] + std::log(batch.sum[r]));
  }
}

void end_batch(const SharedHead& head, const Batch& batch) {
  for (uint64_t r = 0; r < batch.rows; ++r) {
    const float scale = 1.0F / batch.sum[r];
    const float* sums = batch.sums + r * head.padded_size;
    for (uint64_t i = 0; i < head.head_size; ++i) batch.out[r][i] = sums[i] * scale;
    if (head.own) note_own(head, batch.begin_row + r, r, batch);
  }
}

// Room that a thread uses again.
struct Room {
  std::vector<Batch> batches;
  std::vector<float> sums, queries;
  std::vector<float> keys, values;  // of a tile whose forms have no products of their own
  std::vector<uint64_t> tiles;      // of the past that are read, rising
  std::vector<float> promises;
};

// Tiles lie scattered: of the fourth from this the forms are asked for, of the third what these say
// of themselves, and of the second the numbers.
void look_ahead(const Past& past, uint64_t index) {
  constexpr size_t kOfForm = 320;  // the largest of those that have products of their own
  const auto both = [&](uint64_t ahead, const auto& f) {
    if (index + ahead >= past.tiles()) return;
    f(past.keys(index + ahead));
    f(past.values(index + ahead));
  };
  both(4, [](const form::Form& form) {
    form::fetch_bytes({reinterpret_cast<const uint8_t*>(&form), kOfForm});
  });
  both(3, [](const form::Form& form) { form.fetch_parts(); });
  both(2, [](const form::Form& form) { form.fetch(); });
}

// A tile of past. What pads a row of values weighs in sums that nobody reads; but it must be
// numbers.
Tile of_past(const SharedHead& head, uint64_t index, Room& room) {
  const Past& past = *head.past;
  look_ahead(past, index);
  Tile tile{past.first(index), past.count(index), nullptr, nullptr, kKeyBlock, kTileTokens, index};
  if (!scores_directly(past, index)) {
    room.keys.resize(head.head_size * kTileTokens);
    past.load_keys(index, room.keys.data());
    tile.keys = room.keys.data();
  }
  if (!adds_directly(past, index)) {
    room.values.resize(head.padded_size * kTileTokens);
    past.load_values(index, room.values.data(), head.padded_size);
    tile.values = room.values.data();
  }
  return tile;
}

// The queries of a batch one after the other.
void gather_queries(const SharedHead& head, float* rows, Batch& batch) {
  for (uint64_t r = 0; r < batch.rows; ++r)
    std::copy_n(batch.queries[r], head.head_size, rows + r * head.head_size);
  batch.of_tiles.emplace(form::MatrixView{rows, {batch.rows, head.head_size}});
}

// What lies as it is, from head.base + `at` on.
Tile plain(const SharedHead& head, uint64_t at) {
  return {head.base + at,
          kTileTokens,
          head.keys + at * head.head_size,
          head.values + at * head.padded_size,
          kKeyBlock * head.head_size,
          kKeyBlock,
          0};
}

// Which tiles of the past these batches read.
void choose_tiles(const SharedHead& head, std::span<const Batch> batches, Room& room) {
  room.tiles.clear();
  if (!head.past) return;
  const Past& past = *head.past;
  room.tiles.resize(past.tiles());
  std::iota(room.tiles.begin(), room.tiles.end(), uint64_t{0});
  if (past.tokens() <= head.past_read) return;
  room.promises.assign(past.tiles(), -std::numeric_limits<float>::infinity());
  for (uint64_t t = 0; t < past.tiles(); ++t) {
    for (const Batch& b : batches) {
      for (uint64_t r = 0; r < b.rows; ++r)
        room.promises[t] = std::max(room.promises[t], past.promise(t, b.queries[r]));
    }
  }
  room.promises[0] = std::numeric_limits<float>::infinity();
  std::ranges::stable_sort(
      room.tiles, [&](uint64_t a, uint64_t b) { return room.promises[a] > room.promises[b]; });
  uint64_t left = head.past_read;
  std::erase_if(room.tiles, [&](uint64_t t) {
    const uint64_t count = past.count(t);
    const bool fits = count <= left;
    if (fits) left -= count;
    return !fits;
  });
  std::ranges::sort(room.tiles);
}

// Positions begin … end - 1 for all batches, tile by tile.
void work_off(const SharedHead& head, uint64_t begin, uint64_t end, std::span<Batch> batches,
              Room& room) {
  uint64_t low = UINT64_MAX, high = 0;
  for (Batch& batch : batches) {
    look_at(begin, end, batch);
    low = std::min(low, batch.low);
    high = std::max(high, batch.high);
  }
  for (const uint64_t t : room.tiles) {
    const uint64_t first = head.past->first(t);
    if (first + head.past->count(t) <= low || first >= high) continue;
    const Tile tile = of_past(head, t, room);
    for (Batch& batch : batches) attend_tile(head, tile, batch);
  }
  const uint64_t behind = low > head.base ? (low - head.base) / kTileTokens * kTileTokens : 0;
  for (uint64_t at = behind; head.base + at < high; at += kTileTokens) {
    const Tile tile = plain(head, at);
    for (Batch& batch : batches) attend_tile(head, tile, batch);
  }
}

void attend_kernel(const SharedHead& head, uint64_t begin, uint64_t end) {
  thread_local Room room;
  const uint64_t count = (end - begin + kRows - 1) / kRows;
  if (room.batches.size() < count) room.batches.resize(count);
  const uint64_t sums = kRows * head.padded_size;
  if (room.sums.size() < count * sums) room.sums.resize(count * sums);
  if (head.past) room.queries.resize(count * kRows * head.head_size);
  const std::span batches(room.batches.data(), count);
  for (uint64_t b = 0; b < count; ++b) {
    batches[b].sums = room.sums.data() + b * sums;
    begin_batch(head, begin + b * kRows, std::min(begin + (b + 1) * kRows, end), batches[b]);
    if (head.past)
      gather_queries(head, room.queries.data() + b * kRows * head.head_size, batches[b]);
  }
  choose_tiles(head, batches, room);
  const Contexts& contexts = head.contexts;
  if (contexts.any()) {
    // First and alone, so that the sums are theirs.
    work_off(head, contexts.begin, contexts.end, batches, room);
    for (Batch& batch : batches) raise(contexts.scale, batch);
    work_off(head, 0, contexts.begin, batches, room);
    work_off(head, contexts.end, UINT64_MAX, batches, room);
  } else {
    work_off(head, 0, UINT64_MAX, batches, room);
  }
  for (const Batch& batch : batches) end_batch(head, batch);
}

// Scores, and then weights, of one batch of rows with all tokens, added up.
void add_weights(const SharedHead& head, uint64_t begin, uint64_t end, Room& room,
                 std::vector<float>& all, std::vector<float>& weights) {
  room.batches.resize(std::max<size_t>(room.batches.size(), 1));
  room.sums.resize(std::max<size_t>(room.sums.size(), kRows * head.padded_size));
  Batch& batch = room.batches[0];
  batch.sums = room.sums.data();
  begin_batch(head, begin, end, batch);
  if (head.past) {
    room.queries.resize(kRows * head.head_size);
    gather_queries(head, room.queries.data(), batch);
  }
  const D d;
  const size_t lanes = hn::Lanes(d);
  const uint64_t count = weights.size(), stride = (count + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  all.assign(batch.rows * stride, -std::numeric_limits<float>::infinity());
  uint64_t done = 0;
  const auto take = [&](const Tile& tile, uint64_t size) {
    score_tile(head, tile, size, batch);
    for (uint64_t r = 0; r < batch.rows; ++r)
      std::copy_n(batch.scores.data() + r * kTileTokens, size, all.data() + r * stride + done);
    done += size;
  };
  for (uint64_t t = 0; head.past && t < head.past->tiles(); ++t)
    take(of_past(head, t, room), head.past->count(t));
  for (uint64_t at = 0; done < count; at += kTileTokens)
    take(plain(head, at), std::min(kTileTokens, count - done));
  for (uint64_t r = 0; r < batch.rows; ++r) {
    float* row = all.data() + r * stride;
    const V most = hn::Set(d, *std::max_element(row, row + count));
    V sums = hn::Zero(d);
    for (uint64_t i = 0; i < stride; i += lanes) {
      const V weight = vector_exp(d, hn::Sub(hn::LoadU(d, row + i), most));
      hn::StoreU(weight, d, row + i);
      sums = hn::Add(sums, weight);
    }
    const float part = 1 / hn::GetLane(hn::SumOfLanes(d, sums));
    for (uint64_t i = 0; i < count; ++i) weights[i] += row[i] * part;
  }
}

void weights_kernel(const SharedHead& head, uint64_t at, std::vector<float>& weights) {
  thread_local Room room;
  thread_local std::vector<float> all;
  const uint64_t before = head.past ? head.past->tokens() : 0;
  weights.assign(before + head.first + at + 1 - head.base, 0.0F);
  const uint64_t first = at * head.group, last = first + head.group;
  for (uint64_t r = first; r < last; r += kRows)
    add_weights(head, r, std::min(r + kRows, last), room, all, weights);
}

}  // namespace pith::kv::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::kv {

HWY_EXPORT(attend_kernel);
HWY_EXPORT(weights_kernel);

void attend(const SharedHead& head, uint64_t begin, uint64_t end) {
  HWY_DYNAMIC_DISPATCH(attend_kernel)(head, begin, end);
}

void attention_weights(const SharedHead& head, uint64_t at, std::vector<float>& weights) {
  HWY_DYNAMIC_DISPATCH(weights_kernel)(head, at, weights);
}

}  // namespace pith::kv
#endif
