#include "pith/kv/cache.h"

#include <cstring>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/base/random.h"
#include "pith/kv/head_axes.h"
#include "pith/select/spans.h"

namespace pith::kv {
namespace {

// Of tokens; shorter ones are told from noise by too few weights.
constexpr uint64_t kLeastOfSpan = 8;

}  // namespace

Cache::Cache(const std::vector<uint64_t>& heads, uint64_t head_size, uint64_t capacity,
             std::optional<CacheOptions> options, uint64_t at_a_time, Turn turn)
    : head_size_(head_size),
      padded_((head_size + kKeyBlock - 1) / kKeyBlock * kKeyBlock),
      positions_((room(capacity, options, at_a_time) + kTileTokens - 1) / kTileTokens *
                 kTileTokens),
      options_(std::move(options)),
      turn_(std::move(turn)),
      first_(first_heads(heads)),
      size_(first_.back() * positions_ * (head_size_ + padded_)) {
  // Zeros that are not touched take no memory.
  memory_.reset(static_cast<float*>(std::calloc(size_ + kKeyBlock, sizeof(float))));
  if (!memory_) fail(ErrorKind::kLimit, "no memory for {} bytes of keys and values", bytes());
  const auto at = reinterpret_cast<uintptr_t>(memory_.get());
  begin_ = memory_.get() + (64 - at % 64) % 64 / sizeof(float);
  if (!options_) return;
  options_->check(heads, head_size);
  if (options_->axes) {
    auto axes = head_axes(*options_);
    for (auto& of : axes) past_.emplace_back(std::move(of));
  } else {
    past_.resize(first_.back());
  }
  if (options_->cut == Cut::kSpans) near_.resize(first_.back());
  if (!options_->needs_attention()) return;
  latest_ = options_->latest_queries();
  records_.assign(first_.back(), select::AttentionRecord(std::max(latest_, uint64_t{1})));
}

uint64_t Cache::past_bits() const {
  uint64_t sum = 0;
  for (const Past& p : past_) sum += p.bits();
  return sum;
}

uint64_t Cache::held_bits(uint64_t written) const {
  return past_bits() + (written - base_) * first_.back() * 2 * head_size_ * 16;
}

bool Cache::records(uint64_t position, uint64_t begin, uint64_t end) const {
  if (records_near()) return true;
  if (latest_ > 0) return end - position <= latest_;
  if (options_->probes >= 1) return true;
  // Where few are read together, some of the times the latest of them.
  constexpr uint64_t kLatestDrawn = 1, kOthersDrawn = 2;
  const double half = options_->probes / 2;
  const double latest = half * static_cast<double>(end - begin) + random_unit(kLatestDrawn, begin);
  return end - position <= static_cast<uint64_t>(latest) ||
         random_unit(kOthersDrawn, position) < half;
}

void Cache::see_queries(uint64_t layer, uint64_t head, std::span<const float> queries) {
  past_[first_[layer] + head].see_queries(queries, head_size_);
}

void Cache::record(uint64_t layer, uint64_t head, std::span<const float> weights) {
  if (records_near()) return near_[first_[layer] + head].add(weights);
  const Past& past = past_[first_[layer] + head];
  // Those of which a rest is kept are not chosen among again.
  thread_local std::vector<float> kept;
  kept.assign(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(past.kept()));
  kept.insert(kept.end(), weights.begin() + static_cast<std::ptrdiff_t>(past.tokens()),
              weights.end());
  records_[first_[layer] + head].add(kept);
}

void Cache::settle(uint64_t written, int threads) {
  if (!options_) return;
  const uint64_t plain = written - base_, step = options_->tile;
  if (plain < options_->window + step) return;
  const uint64_t leaving = (plain - options_->window) / step * step;
  if (!options_->keep) {
    parallel_for(threads, past_.size(), [&](size_t head) { put_away(head, leaving, plain); });
  } else {
    select_all(written, leaving, plain, threads);
  }
  parallel_for(threads, past_.size(), [&](size_t head) { move_up(head, leaving, plain); });
  base_ += leaving;
  turned_base_ = options_->positions == Positions::kCache ? most_kept() : base_;
}

void Cache::forget(uint64_t position) {
  if (position <= contexts_.begin) join({}, 0);
  if (position > 0 && position >= base_) {
    for (size_t h = 0; h < records_.size(); ++h)
      records_[h].shorten(past_[h].kept() + position - base_);
    for (LocalMap& m : near_) m.shorten(position - base_);
    return;
  }
  for (Past& p : past_) p.clear();
  for (select::AttentionRecord& r : records_) r.shorten(0);
  for (LocalMap& m : near_) m.shorten(0);
  base_ = turned_base_ = 0;
  moving_.clear();
  moments_.clear();
}

uint64_t Cache::most_kept() const {
  uint64_t most = 0;
  for (const Past& p : past_) most = std::max(most, p.kept());
  return most;
}

void Cache::copy_rows(uint64_t head, uint64_t from, uint64_t count, Past::Rows& rows) {
  const uint64_t before = rows.keys.size() / head_size_;
  rows.keys.resize((before + count) * head_size_);
  rows.values.resize(rows.keys.size());
  for (uint64_t t = 0; t < count; ++t) {
    const float* k = key(head, from + t);
    float* to = rows.keys.data() + (before + t) * head_size_;
    for (uint64_t i = 0; i < head_size_; ++i) to[i] = k[i * kKeyBlock];
    std::memcpy(rows.values.data() + (before + t) * head_size_,
                head_values(head) + (from + t) * padded_, head_size_ * sizeof(float));
  }
}

void Cache::write_row(uint64_t head, uint64_t at, const float* key_row, const float* value_row) {
  float* k = key(head, at);
  for (uint64_t i = 0; i < head_size_; ++i) k[i * kKeyBlock] = key_row[i];
  std::memcpy(head_values(head) + at * padded_, value_row, head_size_ * sizeof(float));
}

void Cache::put_away(uint64_t head, uint64_t leaving, uint64_t plain) {
  Past::Rows rows;
  copy_rows(head, 0, leaving, rows);
  if (options_->cut == Cut::kSpans) {
    std::vector<uint32_t> ends = select::span_ends(
        near_[head].map(plain).view(),
        {.least = std::min(kLeastOfSpan, options_->tile), .most = options_->tile});
    // What is behind those that leave may look different when more is known.
    std::erase_if(ends, [&](uint32_t e) { return e >= leaving; });
    near_[head].leave(leaving);
    return past_[head].add_spans(*options_, ends, rows.keys.data(), rows.values.data(), leaving,
                                 head_size_);
  }
  past_[head].add(*options_, rows.keys.data(), rows.values.data(), leaving, head_size_);
}

void Cache::move_up(uint64_t head, uint64_t leaving, uint64_t plain) {
  const uint64_t left = plain - leaving;
  // Keys by whole blocks; what lies behind the last position of one is written again.
  const uint64_t kept = (left + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  float *keys = head_keys(head), *values = head_values(head);
  std::memmove(keys, keys + leaving * head_size_, kept * head_size_ * sizeof(float));
  std::memmove(values, values + leaving * padded_, left * padded_ * sizeof(float));
}

}  // namespace pith::kv
