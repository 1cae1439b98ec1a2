// The keys and values of the positions that a session has read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/kv/arrays.h"
#include "pith/kv/contexts.h"
#include "pith/kv/local_map.h"
#include "pith/kv/past.h"
#include "pith/select/attention_record.h"

namespace pith::kv {

// Positions whose keys lie interleaved, so that one vector operation scores all of them without
// summing across lanes; the widest vector in use.
inline constexpr uint64_t kKeyBlock = 16;

// For each layer and key-value head:
//   keys    [position / 16][element][position % 16]
//   values  [position][element], rows padded with zeros to 16 elements
// Memory is taken from the machine as positions are written. With options, positions that the
// window has left behind lie in forms, a tile at a time, or are left out: those before base(),
// which grows.
class Cache {
 public:
  // Turns a key of head_size numbers on by so many positions; back where they are negative.
  using Turn = std::function<void(float* key, int64_t by)>;

  // heads: of keys and values in each layer; layers without any take nothing. at_a_time: the most
  // positions that are written between two calls of settle(). turn: for Positions::kCache.
  Cache(const std::vector<uint64_t>& heads, uint64_t head_size, uint64_t capacity,
        std::optional<CacheOptions> options = {}, uint64_t at_a_time = 0, Turn turn = {});

  uint64_t head_size() const { return head_size_; }
  uint64_t padded_size() const { return padded_; }
  // Of what is not in forms, when full.
  uint64_t bytes() const { return size_ * sizeof(float); }
  // Of forms, as they would be stored.
  uint64_t past_bits() const;
  // The positions that lie as they are, of so many.
  static uint64_t room(uint64_t capacity, const std::optional<CacheOptions>& options,
                       uint64_t at_a_time) {
    if (!options || options->window >= capacity) return capacity;
    if (options->prompts == Prompts::kWhole) return capacity;
    return std::min(capacity, options->window + kTileTokens + at_a_time);
  }
  // Of so many heads in all layers.
  static uint64_t bytes(uint64_t heads, uint64_t head_size, uint64_t capacity) {
    return heads * (2 * head_size + kKeyBlock) * sizeof(float) * (capacity + kTileTokens);
  }

  // Of the tokens before base(), how many queries read when so many positions are written.
  uint64_t past_read(uint64_t written) const {
    if (!options_ || !options_->reads) return UINT64_MAX;
    // What is read at the moment counts when it has settled.
    const uint64_t plain = std::min(written - base_, options_->least(0));
    const uint64_t all = options_->reads->of.of(written);
    return all > plain ? all - plain : 0;
  }

  // From here on positions lie as they are; a multiple of kTileTokens.
  uint64_t base() const { return base_; }
  // Of the positions before base(); null where there are none.
  const Past* past(uint64_t layer, uint64_t head) const {
    return base_ > 0 ? &past_[first_[layer] + head] : nullptr;
  }

  // Of base() and what follows.
  const float* keys(uint64_t layer, uint64_t head) const { return begin_ + at(layer, head); }
  const float* values(uint64_t layer, uint64_t head) const {
    return keys(layer, head) + positions_ * head_size_;
  }

  // Key and value of one head at a position, from base() on.
  void write(uint64_t layer, uint64_t head, uint64_t position, const float* key,
             const float* value) {
    position -= base_;
    float* k = begin_ + at(layer, head) + position / kKeyBlock * kKeyBlock * head_size_ +
               position % kKeyBlock;
    float* v = begin_ + at(layer, head) + positions_ * head_size_ + position * padded_;
    for (uint64_t i = 0; i < head_size_; ++i) k[i * kKeyBlock] = key[i];
    for (uint64_t i = 0; i < head_size_; ++i) v[i] = value[i];
  }

  // Whether attention weights are to be recorded; and whether those of the queries of a position,
  // where begin … end - 1 are read together.
  bool records() const { return !records_.empty() || records_near(); }
  // Only of the tokens from base() on.
  bool records_near() const { return !near_.empty(); }
  bool records(uint64_t position, uint64_t begin, uint64_t end) const;
  // What the queries of a position, of all heads that share this one, gave to the tokens of
  // past(), unless records_near(), and those from base() on to the position.
  void record(uint64_t layer, uint64_t head, std::span<const float> weights);

  // Whether queries of so many heads that share one are to be shown: of one position, head after
  // head.
  bool sees_queries() const { return options_ && options_->balanced; }
  void see_queries(uint64_t layer, uint64_t head, std::span<const float> queries);

  // What queries gave so far is forgotten.
  void restart_records() {
    for (select::AttentionRecord& r : records_) r.restart();
  }

  // Of every head of every layer; empty where nothing is recorded.
  std::span<const select::AttentionRecord> attention() const { return records_; }
  // How much what the queries of each head give changes from one to the next (AttentionRecord), of
  // all layers; empty where nothing is recorded.
  std::vector<double> variances() const;

  bool leaves_out() const { return options_ && options_->keep; }
  // Of positions that are written, none of which was left out; what lies in forms is decoded.
  Arrays arrays(uint64_t first, uint64_t count, int threads) const;
  // Tokens begin … begin + count - 1 of arrays of this shape, as write() of each.
  void write(const Arrays& from, uint64_t begin, uint64_t count, int threads);

  // Whole tiles that the window leaves behind, now that so many positions are written, go into
  // forms or are left out. What it throws leaves positions unreadable: forget(0) then.
  void settle(uint64_t written, int threads);
  // Positions from this one on are to be written again; it is 0 or not before base().
  void forget(uint64_t position);

  // The tokens that were written from contexts.begin on stand side by side: those that follow are
  // turned by `shift` positions less than there are tokens before them.
  void join(const Contexts& contexts, uint64_t shift) {
    contexts_ = contexts;
    joined_shift_ = shift;
  }
  const Contexts& contexts() const { return contexts_; }

  // By how many positions keys and queries are turned less than where they were read:
  // Positions::kCache and contexts that were joined.
  uint64_t shift() const { return base_ - turned_base_ + joined_shift_; }
  // Bits of all that is held of so many positions, what lies as it is counted as two bytes a
  // number.
  uint64_t held_bits(uint64_t written) const;

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };

  uint64_t at(uint64_t layer, uint64_t head) const {
    return (first_[layer] + head) * positions_ * (head_size_ + padded_);
  }
  float* head_keys(uint64_t head) { return begin_ + head * positions_ * (head_size_ + padded_); }
  float* head_values(uint64_t head) { return head_keys(head) + positions_ * head_size_; }
  // The token base() + at; elements kKeyBlock apart.
  float* key(uint64_t head, uint64_t at) {
    return head_keys(head) + at / kKeyBlock * kKeyBlock * head_size_ + at % kKeyBlock;
  }
  // `count` tokens from base() + `from` on, as rows behind those that there are.
  void copy_rows(uint64_t head, uint64_t from, uint64_t count, Past::Rows& rows);
  void write_row(uint64_t head, uint64_t at, const float* key_row, const float* value_row);
  uint64_t most_kept() const;

  // The first tokens of a head go into forms, all of them.
  void put_away(uint64_t head, uint64_t leaving, uint64_t plain);
  // Those that stay move to the front.
  void move_up(uint64_t head, uint64_t leaving, uint64_t plain);

  // In eviction.cc. Of past tokens and `plain` that lie as they are, `leaving` of which go, a
  // policy keeps some, of so many that were read.
  void select_all(uint64_t read, uint64_t leaving, uint64_t plain, int threads);
  void keep_selected(uint64_t head, uint64_t leaving, const select::Selection& selection);
  void merge(uint64_t head, uint64_t leaving, uint64_t plain, const select::Selection& selection);
  // Which heads move with the query, for Budget::Shares::kClasses.
  void label_heads();
  // What the policy keeps of a head, or of the heads of a layer together.
  select::Selection selection(uint64_t begin, uint64_t end, uint64_t layer, uint64_t leaving,
                              uint64_t plain, std::optional<uint64_t> budget);
  // How many each head keeps; empty: as the policy says. In budgets.cc.
  std::vector<uint64_t> budgets(uint64_t read, uint64_t leaving, uint64_t plain, int threads);
  std::vector<uint64_t> by_entropy(uint64_t each, const std::vector<uint64_t>& sizes) const;
  // Of the keys of all tokens that were read, whether they stayed or not.
  void measure_entropies(uint64_t read, uint64_t leaving, uint64_t plain, int threads);
  std::vector<uint64_t> by_attention(uint64_t each) const;
  // Keys are turned to where they will stand.
  void turn_all(uint64_t leaving, uint64_t plain, const std::vector<select::Selection>& selections,
                int threads);
  // Of heads begin … end - 1, which hold as many tokens, side by side.
  form::Matrix all_keys(uint64_t begin, uint64_t end, uint64_t plain);
  std::vector<uint64_t> layers_of_heads() const;

  // Of each layer how many heads are before it; then of all.
  static std::vector<uint64_t> first_heads(const std::vector<uint64_t>& heads) {
    std::vector<uint64_t> first = {0};
    for (const uint64_t h : heads) first.push_back(first.back() + h);
    return first;
  }

  uint64_t head_size_, padded_, positions_, base_ = 0;
  uint64_t turned_base_ = 0;  // the position for which the key at base() is turned
  uint64_t joined_shift_ = 0;
  Contexts contexts_;
  uint64_t latest_ = 0;
  std::optional<CacheOptions> options_;
  Turn turn_;
  std::vector<Past> past_;                        // of every head of every layer
  std::vector<select::AttentionRecord> records_;  // of every head, where a policy needs them
  std::vector<LocalMap> near_;                    // likewise, for Cut::kSpans
  std::vector<bool> moving_;                      // heads, once they are labelled
  std::vector<std::vector<float>> moments_;       // of keys that left, of every head
  std::vector<double> entropies_;                 // of every head, where shares are by them
  std::vector<uint64_t> first_;
  uint64_t size_;
  std::unique_ptr<float, Free> memory_;
  float* begin_ = nullptr;
};

}  // namespace pith::kv
