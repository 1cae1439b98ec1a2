// The tokens of one head that lie in forms: those that are kept, in their order, and then those of
// which a rest is kept.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "pith/form/form.h"
#include "pith/kv/options.h"

namespace pith::kv {

class HeadAxes;

class Past {
 public:
  // axes: along which tiles lie; null: channels as they are.
  explicit Past(std::shared_ptr<const HeadAxes> axes = {}) : axes_(std::move(axes)) {}

  // Tokens as rows of head_size channels, one after the other.
  struct Rows {
    std::vector<float> keys, values;
  };

  // `count` more tokens that are kept, in tiles of the options' size and one of what is left. With
  // axes the first are of position 0, and the options' sink is a tile of its own. Throws
  // ErrorKind::kData where a number is not finite.
  void add(const CacheOptions& options, const float* keys, const float* values, uint64_t count,
           uint64_t head_size);
  // The same in tiles that end with the tokens `ends`, of these `count`, rising. What comes after
  // the last of them is a tile that goes on with the next tokens, where the options allow one so
  // large.
  void add_spans(const CacheOptions& options, std::span<const uint32_t> ends, const float* keys,
                 const float* values, uint64_t count, uint64_t head_size);
  // Tokens of which a rest is kept in this form.
  void add_rest(const CacheOptions& options, const form::Expression& form, const Rows& rows,
                uint64_t head_size);
  // With CacheOptions::balanced: queries of head_size numbers, one after the other.
  void see_queries(std::span<const float> queries, uint64_t head_size);
  // Of the kept tokens only these stay, rising; what stays of a tile is put into a form again.
  void keep(const CacheOptions& options, std::span<const uint32_t> stay, uint64_t head_size);
  // The keys of kept tokens are turned on by so many positions each.
  void turn(const CacheOptions& options, std::span<const int64_t> by,
            const std::function<void(float* key, int64_t by)>& turn, uint64_t head_size);
  // The kept tokens, as their forms give them.
  Rows kept_rows(uint64_t head_size) const;

  // Those of kept tokens come first.
  uint64_t tiles() const { return kept_.size() + rest_.size(); }
  // Tokens of a tile, and of all tiles before it.
  uint64_t count(uint64_t tile) const { return at(tile).count; }
  uint64_t first(uint64_t tile) const {
    return tile < kept_.size() ? kept_[tile].first : kept() + at(tile).first;
  }
  uint64_t kept() const { return tokens_of(kept_); }
  // Of all tiles.
  uint64_t tokens() const { return kept() + tokens_of(rest_); }
  // The forms of a tile, and what their rows are.
  const form::Form& keys(uint64_t tile) const { return *at(tile).keys; }
  const form::Form& values(uint64_t tile) const { return *at(tile).values; }
  By keys_by(uint64_t tile) const { return at(tile).keys_by; }
  By values_by(uint64_t tile) const { return at(tile).values_by; }
  // Whether they hold coordinates along axes.
  bool along_axes(uint64_t tile) const { return at(tile).along_axes; }
  // What they hold. keys: [channel][token of the tile], channels kTileTokens apart; values:
  // [token][channel], rows of `padded` floats, of which those past the channels are left alone.
  void load_keys(uint64_t tile, float* keys) const;
  void load_values(uint64_t tile, float* values, uint64_t padded) const;
  // With CacheOptions::reads: what a tile promises to a query.
  float promise(uint64_t tile, const float* query) const;
  // What write() of all forms would take, and what promises are told by.
  uint64_t bits() const;
  void clear();

 private:
  struct Tile {
    uint64_t first = 0, count = 0;  // first: among those of its kind
    form::FormPtr keys, values;
    By keys_by = By::kChannel, values_by = By::kToken;
    bool along_axes = false;
    std::vector<float> low, high;  // keys, by channel; one of them alone is their mean
  };

  const Tile& at(uint64_t tile) const {
    return tile < kept_.size() ? kept_[tile] : rest_[tile - kept_.size()];
  }
  static uint64_t tokens_of(const std::vector<Tile>& tiles) {
    return tiles.empty() ? 0 : tiles.back().first + tiles.back().count;
  }
  // What the last of these tiles promises.
  static void summarize_last(const CacheOptions& options, const float* keys, uint64_t count,
                             uint64_t head_size, std::vector<Tile>& of);
  void append(const CacheOptions& options, uint64_t exact, const float* keys, const float* values,
              uint64_t count, uint64_t head_size, std::vector<Tile>& to) const;
  // `count` keys in a form.
  form::FormPtr encoded_keys(const CacheOptions& options, uint64_t exact, const float* keys,
                             uint64_t count, uint64_t head_size) const;

  void add_along_axes(const CacheOptions& options, const float* keys, const float* values,
                      uint64_t count, uint64_t head_size);

  std::vector<Tile> kept_, rest_;
  bool open_ = false;               // the last kept tile goes on
  std::vector<float> query_sizes_;  // the largest of each channel
  std::shared_ptr<const HeadAxes> axes_;
};

}  // namespace pith::kv
