// The model of everything that is not a float: integers and unknown bytes, coded byte by byte from
// the most significant, each in the contexts of its element's higher bytes and of the same byte of
// the neighbours. Single bytes (quantized weights, ranks in a dictionary) also get the bell curve
// around what their row and column let expect.
#pragma once

#include <cstdint>
#include <vector>

#include "context_mix_expect.h"
#include "context_mix_port.h"
#include "context_mix_symbol.h"

namespace pith::lossless::cm {

// One byte of the elements; plane 0 is the most significant.
struct BytePlane {
  uint8_t center = 0;             // symbols are ordered by int8(byte - center)
  std::vector<uint8_t> symbols;   // that occur, in that order; 1 to 256 of them
  std::vector<uint32_t> weights;  // how often each occurs, roughly; positive
};

struct BytePlan {
  uint32_t width = 1;  // planes, 1 to 8
  uint64_t row = 0;    // elements of a row, 0 when unknown
  bool with_base = false;
  std::vector<BytePlane> planes;
};

class ByteModel {
 public:
  explicit ByteModel(const BytePlan& plan);

  template <class Port>
  uint64_t code(Port& port, uint64_t value, uint64_t base);

 private:
  struct Plane {
    std::vector<uint8_t> symbols;
    std::array<uint8_t, 256> rank{};  // of every byte: the first symbol not below it, or the last
    SymbolTree tree;
    DecisionMixer mixer;
    std::vector<int64_t> bound;  // where each rank begins on the line, and the end
  };
  int64_t point(uint8_t byte) const { return int64_t(int8_t(byte - center_)) << kUnit; }

  static constexpr int kUnit = 24;  // one step of a byte on the line is 2^24
  uint32_t width_;
  bool with_base_, computed_;
  uint8_t center_;
  std::vector<Plane> planes_;
  Expectation expectation_;
  std::vector<uint64_t> above_;
  size_t at_column_ = 0;
  uint64_t left_ = 0, left2_ = 0;
};

template <class Port>
uint64_t ByteModel::code(Port& port, uint64_t value, uint64_t base) {
  const int64_t base_point = with_base_ && computed_ ? point(uint8_t(base)) : 0;
  const Expected e = computed_ ? expectation_.next(base_point) : Expected{};
  const Scale z = e.scale(false);
  const uint64_t up = above_.empty() ? left2_ : above_[at_column_];
  const uint32_t near = uint32_t(std::clamp(e.near / 4 + 12, 0, 23));
  uint64_t result = 0;
  bool equal = with_base_;  // so far
  for (uint32_t p = 0; p < width_; ++p) {
    Plane& plane = planes_[p];
    const uint32_t shift = 8 * (width_ - 1 - p);
    const auto byte = [shift](uint64_t v) { return uint32_t(v >> shift) & 255; };
    uint32_t rank = 0;
    if (!plane.tree.nodes.empty()) {
      const uint32_t high = uint32_t(result) & 255, higher = uint32_t(result >> 8) & 255;
      const uint32_t context[5] = {
          p > 0 ? high : 0, byte(left_), byte(up),
          p > 0 ? ((high * 31 + higher) * 31 + byte(left_)) & 1023 : near * 24 + e.level(4, 24),
          byte(base) * 2 + equal};  // the last only with a base
      int64_t low = computed_ ? -kZLimit : 0, top = kZLimit, split = 0;
      const uint32_t wanted = plane.rank[byte(value)];
      int32_t node = 0;
      do {
        const SymbolTree::Node& n = plane.tree.nodes[size_t(node)];
        uint32_t p1 = 32768;
        if (computed_) p1 = upper_share(low, split = z(plane.bound[n.split]), top);
        const uint32_t bit =
            plane.mixer.decide(port.coder, wanted >= n.split, uint32_t(node), context, equal, p1);
        (bit != 0 ? low : top) = split;
        node = n.child[bit];
      } while (node >= 0);
      rank = uint32_t(~node);
    }
    result = (result << 8) | plane.symbols[rank];
    equal = equal && plane.symbols[rank] == byte(base);
  }
  if (computed_) expectation_.follow(e, point(uint8_t(result)));
  left2_ = left_;
  left_ = result;
  if (!above_.empty()) {
    above_[at_column_] = result;
    if (++at_column_ == above_.size()) at_column_ = 0;
  }
  return result;
}

}  // namespace pith::lossless::cm
