// The rotation of keys by their positions, undone and done again (RoPE: Su et al. 2021).
//
// Before it a channel of the keys is alike at all positions; after it, turned on by an angle that
// grows with the position, channels with high frequencies are noise to a coder.
#pragma once

#include <cstdint>
#include <vector>

namespace pith::kv {

struct Rotation {
  double base = 10000;      // frequencies base^(-2 i / head size), radians for each position
  bool neighbours = false;  // elements 2 i and 2 i + 1 turn together; else i and i + half
  // In place of those of the base, where they are scaled or turn only the first elements of a head:
  // of each pair, and half is how many there are. Finite, none below 0.
  std::vector<float> frequencies = {};
  bool operator==(const Rotation&) const = default;
};

// The frequencies of all pairs, whichever says them. Throws ErrorKind::kUsage for more of them than
// a head has pairs.
std::vector<double> frequencies_of(const Rotation& rotation, uint64_t head_size);
// Whether heads of this size are turned alike, but for how models' files round bases.
bool alike(const Rotation& a, const Rotation& b, uint64_t head_size);

// Of so many tokens from position `first` on. A base that is not the model's costs bits, nothing
// else: what is undone is what is done again. Elements without a pair stay.
class Rotator {
 public:
  Rotator(const Rotation& rotation, uint64_t head_size, uint64_t first, uint64_t tokens);
  // rows: [token][head size], all tokens of one head.
  void undo(float* rows) const { turn(rows, tokens_, -1); }
  void redo(float* rows) const { turn(rows, tokens_, 1); }
  // Of the first of these tokens alone; sign -1 undoes.
  void turn(float* rows, uint64_t tokens, float sign) const;

 private:
  uint64_t head_size_, pairs_, tokens_;
  bool neighbours_;
  std::vector<float> cosines_, sines_;  // [token][pair]
};

// The same for tiles of up to so many tokens that begin anywhere, without room for each.
class TileRotator {
 public:
  TileRotator(const Rotation& rotation, uint64_t head_size, uint64_t tokens);
  // rows: [token][head size], tokens of one head from position `first` on.
  void undo(float* rows, uint64_t first, uint64_t tokens) const { turn(rows, first, tokens, -1); }
  void redo(float* rows, uint64_t first, uint64_t tokens) const { turn(rows, first, tokens, 1); }
  // All rows as if they stood at this position.
  void undo_all(float* rows, uint64_t position, uint64_t count) const {
    turn_all(rows, position, count, -1);
  }

 private:
  void turn(float* rows, uint64_t first, uint64_t tokens, float sign) const;
  void turn_all(float* rows, uint64_t position, uint64_t count, float sign) const;

  bool neighbours_;
  std::vector<double> frequencies_;
  uint64_t head_size_;
  Rotator within_;  // from the tile's first token on
};

}  // namespace pith::kv
