#include "steps_index.h"

#include <algorithm>
#include <array>
#include <bit>

#include "context_mix_symbol.h"
#include "pith/entropy/binary_coder.h"

namespace pith::lossless::steps {
namespace {

using cm::DecisionMixer;
using cm::SymbolTree;

constexpr uint32_t kClasses = 16;  // of a neighbour's index
constexpr uint32_t kLevels = 16;   // of activity: how far indices were from the neutral one
constexpr uint32_t kFine = 64, kCoarse = 16, kRough = 8;  // of a base magnitude

template <class U>
void sketch_as(ByteView values, int mantissa_bits, MutableByteView out) {
  constexpr U kSign = static_cast<U>(U{1} << (8 * sizeof(U) - 1));
  const auto half_octave = [&](size_t i) {
    const U v = load_le<U>(values.data() + i * sizeof(U));
    return static_cast<uint32_t>((v & static_cast<U>(~kSign)) >> (mantissa_bits - 1));
  };
  std::vector<uint32_t> counts(size_t{1} << (8 * sizeof(U) - static_cast<size_t>(mantissa_bits)),
                               0);
  for (size_t i = 0; i < out.size(); ++i) ++counts[half_octave(i)];
  size_t reached = 0, top = counts.size();
  while (top > 0 && reached <= out.size() / 1024) reached += counts[--top];
  for (size_t i = 0; i < out.size(); ++i) {
    const auto below = static_cast<int64_t>(top) - static_cast<int64_t>(half_octave(i));
    const bool negative = (load_le<U>(values.data() + i * sizeof(U)) & kSign) != 0;
    out[i] = static_cast<uint8_t>(std::clamp<int64_t>(below, 0, 127) | (negative ? 128 : 0));
  }
}

// Reads an element's surroundings in the base's sketch; places outside count as the element itself.
class BaseView {
 public:
  BaseView(const Bytes& sketch, uint64_t row) : sketch_(sketch), row_(row) {}
  bool empty() const { return sketch_.empty(); }
  void move_to(uint64_t i) { i_ = i; }
  uint32_t here() const { return sketch_[i_]; }
  uint32_t left() const { return i_ > 0 ? sketch_[i_ - 1] : here(); }
  uint32_t right() const { return i_ + 1 < sketch_.size() ? sketch_[i_ + 1] : here(); }
  uint32_t up() const { return row_ > 0 && i_ >= row_ ? sketch_[i_ - row_] : here(); }
  uint32_t down() const {
    return row_ > 0 && sketch_.size() - i_ > row_ ? sketch_[i_ + row_] : here();
  }

 private:
  const Bytes& sketch_;
  uint64_t row_, i_ = 0;
};

uint32_t fine(uint32_t s) { return std::min(s & 127, kFine - 1); }
uint32_t coarse(uint32_t s) { return std::min((s & 127) / 2, kCoarse - 1); }
uint32_t rough(uint32_t s) { return std::min((s & 127) / 3, kRough - 1); }

// The model: what was coded so far, and where the next index stands.
class Model {
 public:
  Model(const IndexContext& context, const std::vector<uint32_t>& weights, MutableByteView indices)
      : context_(context),
        row_(context.row > 1 && context.row <= indices.size() ? context.row : 0),
        base_(context.base, row_),
        indices_(indices),
        columns_(row_, 0) {
    tree_.build(weights);
    std::vector<uint32_t> sizes = {1, kClasses * kClasses, 4 * kLevels, kLevels * kLevels};
    if (!base_.empty()) {
      sizes.insert(sizes.end(), {2 * kFine, kCoarse * kRough * kRough, kCoarse * kRough * kRough,
                                 2 * kCoarse * kLevels});
    }
    mixer_.init(static_cast<uint32_t>(std::max<size_t>(tree_.nodes.size(), 1)), sizes, kLevels,
                false);
  }

  template <class Coder>
  void run(Coder& coder) {
    for (uint64_t i = 0; i < indices_.size(); ++i) {
      uint32_t set[8];
      const uint32_t select = look(i, set);
      indices_[i] = static_cast<uint8_t>(code(coder, indices_[i], set, select));
      follow(i);
    }
  }

 private:
  uint32_t index(uint64_t i, uint64_t back) const {
    return back > 0 && i >= back ? indices_[i - back] : context_.neutral;
  }
  uint32_t activity(uint32_t index) const {
    return index > context_.neutral ? index - context_.neutral : context_.neutral - index;
  }
  // Neighbouring indices near the neutral one are told apart, distant ones by magnitude only.
  uint32_t class_of(uint32_t index) const {
    const uint32_t a = activity(index);
    const uint32_t level =
        a < 5 ? a : std::min<uint32_t>(2 + static_cast<uint32_t>(std::bit_width(a)), 7);
    return level + (index < context_.neutral ? 8 : 0);
  }
  static uint32_t level_of(uint32_t mean) {  // a mean in units of 1/16
    return std::min<uint32_t>(mean < 4 ? mean / 2
                                       : 2 * static_cast<uint32_t>(std::bit_width(mean)) - 4 +
                                             (mean >> (std::bit_width(mean) - 2) & 1),
                              kLevels - 1);
  }

  uint32_t look(uint64_t i, uint32_t* set) {
    const uint32_t left = index(i, 1), up = index(i, row_);
    const uint32_t near = activity(left) * 2 + activity(index(i, 2)) + activity(up) * 2 +
                          activity(index(i, row_ + 1)) +
                          activity(row_ > 1 ? index(i, row_ - 1) : left);
    const uint32_t around = level_of(near * 16 / 7), row = level_of(row_mean_ >> 4);
    const uint32_t column = row_ > 0 ? level_of(columns_[i % row_] >> 4) : around;
    set[0] = 0;
    set[1] = class_of(left) * kClasses + class_of(up);
    set[2] = std::min(near, 4 * kLevels - 1);
    set[3] = row * kLevels + column;
    if (base_.empty()) return around;
    base_.move_to(i);
    const uint32_t here = base_.here(), sign = here >> 7;
    set[4] = fine(here) * 2 + sign;
    set[5] = (coarse(here) * kRough + rough(base_.left())) * kRough + rough(base_.right());
    set[6] = (coarse(here) * kRough + rough(base_.up())) * kRough + rough(base_.down());
    set[7] = (coarse(here) * 2 + sign) * kLevels + std::max(row, column);
    return around;
  }

  template <class Coder>
  uint32_t code(Coder& coder, uint32_t symbol, const uint32_t* set, uint32_t select) {
    if (tree_.nodes.empty()) return 0;
    int32_t node = 0;
    do {
      const SymbolTree::Node& n = tree_.nodes[static_cast<size_t>(node)];
      const uint32_t bit =
          mixer_.decide(coder, symbol >= n.split, static_cast<uint32_t>(node), set, select);
      node = n.child[bit];
    } while (node >= 0);
    return static_cast<uint32_t>(~node);
  }

  void follow(uint64_t i) {
    const auto now = static_cast<int32_t>(activity(indices_[i]) << 8);
    row_mean_ = static_cast<uint32_t>(static_cast<int32_t>(row_mean_) +
                                      (now - static_cast<int32_t>(row_mean_)) / 16);
    if (row_ == 0) return;
    uint32_t& column = columns_[i % row_];
    column = static_cast<uint32_t>(static_cast<int32_t>(column) +
                                   (now - static_cast<int32_t>(column)) / 8);
  }

  const IndexContext& context_;
  uint64_t row_;
  BaseView base_;
  MutableByteView indices_;
  std::vector<uint32_t> columns_;  // mean activity, in units of 1/256
  uint32_t row_mean_ = 0;
  SymbolTree tree_;
  DecisionMixer mixer_;
};

}  // namespace

Bytes sketch(ByteView values, int width, int mantissa_bits) {
  Bytes out(values.size() / static_cast<size_t>(width));
  switch (width) {
    case 2:
      sketch_as<uint16_t>(values, mantissa_bits, out);
      break;
    case 4:
      sketch_as<uint32_t>(values, mantissa_bits, out);
      break;
    default:
      sketch_as<uint64_t>(values, mantissa_bits, out);
  }
  return out;
}

void encode_indices(ByteView indices, const IndexContext& context, Bytes& out) {
  std::vector<uint32_t> weights(context.symbols, 0);
  for (const uint8_t i : indices) ++weights[i];
  for (uint32_t& w : weights) {  // a power of two each is enough for the shape of the tree
    const auto bits = static_cast<uint8_t>(std::min<uint32_t>(std::bit_width(w), 23));
    out.push_back(bits);
    w = uint32_t{1} << bits;
  }
  Bytes coded(indices.begin(), indices.end());
  entropy::BinaryEncoder coder;
  Model(context, weights, coded).run(coder);
  ByteWriter(out).bytes(coder.finish());
}

void decode_indices(ByteReader& in, const IndexContext& context, MutableByteView indices) {
  std::vector<uint32_t> weights(context.symbols);
  for (uint32_t& w : weights) {
    const uint8_t bits = in.u8();
    if (bits > 23) in.bad("a count of steps that cannot be");
    w = uint32_t{1} << bits;
  }
  entropy::BinaryDecoder coder(in.bytes(in.remaining()));
  Model(context, weights, indices).run(coder);
}

}  // namespace pith::lossless::steps
