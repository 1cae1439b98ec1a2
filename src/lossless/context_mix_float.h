// The model of floats: sign, exponent and the leading mantissa bits of each value, given what is
// expected of it.
//
// A value is taken as a point on a fixed-point line. The bell curve around its expectation gives
// each decision a probability that is right from the first element on, and counters in several
// contexts correct it as they learn.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "context_mix_expect.h"
#include "context_mix_line.h"
#include "context_mix_port.h"
#include "context_mix_symbol.h"
#include "pith/lossless/context_mix.h"

namespace pith::lossless::cm {

enum class BitMode : uint8_t { kRaw = 0, kModelled = 1, kZero = 2 };

// What the header says about a chunk of floats.
struct FloatPlan {
  uint32_t exponent_bits = 0, mantissa_bits = 0;
  uint64_t row = 0;  // 0: unknown
  bool with_base = false;
  bool code_equal = false;          // each element first says whether it equals the base
  std::vector<uint16_t> exponents;  // that occur, ascending; 1 to 256 of them
  std::vector<uint32_t> weights;    // how often each occurs, roughly; positive
  uint32_t reference = 0;           // the exponent at 2^32 on the number line
  std::array<BitMode, 52> mode{};   // of mantissa bits, the most significant first
};

class FloatModel {
 public:
  explicit FloatModel(const FloatPlan& plan);

  // Codes one element as its bit pattern; a decoder ignores `value` and returns what it read.
  template <class Port>
  uint64_t code(Port& port, uint64_t value, uint64_t base);

 private:
  struct Seen {  // of a neighbour
    uint8_t rank = 0, sign = 0, equal = 0;
  };
  struct BaseParts {
    uint32_t sign = 0, rank = 0, top = 0;  // rank: of 32; top: two mantissa bits
    uint64_t bits = 0;                     // without the sign
  };

  int64_t magnitude(uint32_t exponent, uint64_t mantissa) const;
  int shift_of(uint32_t exponent) const;
  int64_t on_line(uint64_t bits) const;
  BaseParts parts_of(uint64_t base) const;
  uint32_t equal_context(const Expected& e, uint64_t base) const;
  void remember(uint32_t rank, uint32_t sign, uint32_t equal);
  Seen up() const { return above_.empty() ? Seen{} : above_[at_column_]; }
  template <class Port>
  uint32_t code_sign(Port& port, uint32_t sign, const Expected& e, const BaseParts& b);
  template <class Port>
  uint32_t code_exponent(Port& port, uint32_t rank, const Expected& e, const Scale& z,
                         const BaseParts& b, uint32_t sign);
  template <class Port>
  uint64_t code_mantissa(Port& port, uint64_t mantissa, uint32_t rank, const Expected& e,
                         const Scale& z, const BaseParts& b, uint32_t sign);

  FloatPlan plan_;
  uint32_t count_;  // of exponents that occur
  uint64_t sign_bit_, mantissa_mask_;
  std::vector<uint16_t> rank_of_;  // of every exponent: the nearest at or above
  std::vector<int64_t> bound_;     // where each rank begins; one more for the end
  SymbolTree tree_;
  DecisionMixer sign_, exponent_, mantissa_, equal_;

  Expectation expectation_;
  std::vector<Seen> above_;  // of the row before, by column
  size_t at_column_ = 0;
  Seen left_;
};

// ---------------------------------------------------------------------------------------------

template <class Port>
uint32_t FloatModel::code_sign(Port& port, uint32_t sign, const Expected& e, const BaseParts& b) {
  const uint32_t negative = upper_share(-kZLimit, -e.scale(false)(0), kZLimit);
  const uint32_t context[1] = {plan_.with_base ? b.rank * 2 + b.sign : left_.sign * 2u + up().sign};
  sign = sign_.decide(port.coder, sign, 0, context, 0, negative);
  port.mark(0);
  return sign;
}

template <class Port>
uint32_t FloatModel::code_exponent(Port& port, uint32_t rank, const Expected& e, const Scale& z,
                                   const BaseParts& b, uint32_t sign) {
  if (count_ == 1) return 0;
  const uint32_t low_rank = count_ > 32 ? count_ - 32 : 0;  // the 32 largest are told apart
  const auto top32 = [&](uint32_t r) { return r > low_rank ? r - low_rank : 0; };
  const uint32_t near = uint32_t(std::clamp(e.near / 4 + 12, 0, 23));
  const uint32_t lean = uint32_t(sign != 0 ? 7 - e.lean : e.lean + 8) / 2;
  const uint32_t context[4] = {
      0, top32(left_.rank) * 32 + top32(up().rank), near * 24 + e.level(4, 24),
      plan_.with_base ? b.rank * 8 + b.top * 2 + (b.sign ^ sign) : lean * 24 + e.level(4, 24)};
  int64_t low = z(bound_[0]), high = z(bound_[count_]);
  int32_t node = 0;
  do {
    const SymbolTree::Node& n = tree_.nodes[size_t(node)];
    const int64_t split = z(bound_[n.split]);
    const uint32_t bit = exponent_.decide(port.coder, rank >= n.split, uint32_t(node), context, 0,
                                          upper_share(low, split, high));
    (bit != 0 ? low : high) = split;
    node = n.child[bit];
  } while (node >= 0);
  port.mark(1);
  return uint32_t(~node);
}

template <class Port>
uint64_t FloatModel::code_mantissa(Port& port, uint64_t mantissa, uint32_t rank, const Expected& e,
                                   const Scale& z, const BaseParts& b, uint32_t sign) {
  const uint32_t m = plan_.mantissa_bits;
  const uint32_t exponent = plan_.exponents[rank];
  const int shift = shift_of(exponent);
  const int64_t half = shift > 0 ? int64_t{1} << (shift - 1) : 0;  // of the last bit's unit
  const uint32_t from_top = std::min(31u, count_ - 1 - rank);
  const uint64_t head = uint64_t(exponent) << m;
  const bool same_sign = b.sign == sign;
  uint64_t prefix = 0;
  int64_t low = magnitude(exponent, 0) - half;
  for (uint32_t k = 0; k < m; ++k) {
    const uint32_t below = m - 1 - k;
    uint64_t bit = 0;
    if (plan_.mode[k] == BitMode::kRaw) {
      uint32_t run = 1;  // raw bits travel together
      while (k + run < m && run < 32 && plan_.mode[k + run] == BitMode::kRaw) ++run;
      const uint64_t mask = (uint64_t{1} << run) - 1;
      const uint64_t bits = port.raw((mantissa >> (m - k - run)) & mask, run);
      prefix = (prefix << run) | bits;
      k += run - 1;
      low = magnitude(exponent, prefix << (m - 1 - k)) - half;
      port.mark(2 + k);
      continue;
    }
    if (plan_.mode[k] == BitMode::kModelled) {
      const int place = int(below) + shift;
      const int64_t step = place >= 0 ? int64_t{1} << std::min(place, 50) : 0;
      const uint32_t p = upper_share(z(low), z(low + step), z(low + 2 * step));
      const uint32_t node =
          k < 4 ? (1u << k) + uint32_t(prefix) : 16 + k * 8 + uint32_t(prefix & 7);
      uint32_t state = 0;  // of the bits so far against the base's: other, equal, and its next bits
      if (plan_.with_base) {
        const uint64_t mine = (head >> (below + 1)) | prefix, theirs = b.bits >> (below + 1);
        const uint32_t next =
            below > 0 ? uint32_t(b.bits >> (below - 1)) & 3 : (uint32_t(b.bits) & 1) * 2;
        state = !same_sign ? 0 : mine == theirs ? 3 + next : mine > theirs ? 1 : 2;
      }
      const uint32_t context[2] = {
          from_top, plan_.with_base ? from_top * 7 + state : from_top * 16 + e.level(6, 16)};
      bit = mantissa_.decide(port.coder, uint32_t(mantissa >> below) & 1, node, context,
                             state > 2 ? 1 : 0, p);
      if (bit != 0) low += step;
    }
    prefix = (prefix << 1) | bit;
    port.mark(2 + k);
  }
  return prefix;
}

template <class Port>
uint64_t FloatModel::code(Port& port, uint64_t value, uint64_t base) {
  const int64_t base_point = plan_.with_base ? on_line(base) : 0;
  const Expected e = expectation_.next(base_point);
  const BaseParts b = plan_.with_base ? parts_of(base) : BaseParts{};
  uint32_t equal = 0;
  if (plan_.code_equal) {
    const uint32_t context[3] = {equal_context(e, base), b.rank * 4 + b.top,
                                 b.rank * 4 + left_.equal * 2u + up().equal};
    equal = equal_.decide(port.coder, value == base, 0, context, 0);
    port.mark(0);
  }
  uint32_t sign, rank;
  if (equal != 0) {
    value = base;
    sign = b.sign;
    rank = rank_of_[b.bits >> plan_.mantissa_bits];
  } else {
    sign = code_sign(port, uint32_t((value & sign_bit_) != 0), e, b);
    const Scale z = e.scale(sign != 0);
    rank = code_exponent(port, rank_of_[(value & (sign_bit_ - 1)) >> plan_.mantissa_bits], e, z, b,
                         sign);
    const uint64_t mantissa = code_mantissa(port, value & mantissa_mask_, rank, e, z, b, sign);
    value = (sign != 0 ? sign_bit_ : 0) | (uint64_t(plan_.exponents[rank]) << plan_.mantissa_bits) |
            mantissa;
  }
  remember(rank, sign, equal);
  expectation_.follow(e, on_line(value));
  return value;
}

}  // namespace pith::lossless::cm
