#include "context_mix_float.h"

namespace pith::lossless::cm {
namespace {

constexpr int kLine = 32;   // the reference exponent's values begin at 2^32
constexpr int kAbove = 12;  // larger exponents are held at 2^(32 + 12)
}  // namespace

FloatModel::FloatModel(const FloatPlan& plan)
    : plan_(plan),
      count_(uint32_t(plan.exponents.size())),
      sign_bit_(uint64_t{1} << (plan.exponent_bits + plan.mantissa_bits)),
      mantissa_mask_((uint64_t{1} << plan.mantissa_bits) - 1),
      expectation_(plan.row, int64_t{1} << (kLine - 1)),
      above_(size_t(plan.row)) {
  rank_of_.assign(size_t{1} << plan.exponent_bits, uint16_t(count_ - 1));
  for (uint32_t r = count_; r-- > 0;) {
    const size_t from = r == 0 ? 0 : plan.exponents[r - 1] + size_t{1};
    for (size_t e = from; e <= plan.exponents[r]; ++e) rank_of_[e] = uint16_t(r);
  }
  for (uint16_t e : plan.exponents) bound_.push_back(e == 0 ? 0 : magnitude(e, 0));
  bound_.push_back(2 * magnitude(plan.exponents.back(), 0) + 1);
  tree_.build(plan.weights);
  const uint32_t nodes = uint32_t(tree_.nodes.size());
  const bool base = plan.with_base;
  sign_.init(1, {64}, 1, true);
  exponent_.init(nodes, {1, 1024, 576, base ? 256u : 192u}, 1, true);
  mantissa_.init(16 + plan.mantissa_bits * 8, {32, base ? 32u * 7 : 32u * 16}, base ? 2 : 1, true);
  if (plan.code_equal) equal_.init(1, {96, 128, 128}, 1, false);
}

int FloatModel::shift_of(uint32_t exponent) const {
  const int e = std::max(int(exponent), 1) - int(plan_.reference);
  return std::min(e, kAbove) + kLine - int(plan_.mantissa_bits);
}

int64_t FloatModel::magnitude(uint32_t exponent, uint64_t mantissa) const {
  const uint64_t m = mantissa + (exponent == 0 ? 0 : mantissa_mask_ + 1);
  const int shift = shift_of(exponent);
  if (shift >= 0) return int64_t(m << shift);
  return shift > -63 ? int64_t(m >> -shift) : 0;
}

int64_t FloatModel::on_line(uint64_t bits) const {
  const uint64_t low = bits & (sign_bit_ - 1);
  const int64_t m = magnitude(uint32_t(low >> plan_.mantissa_bits), low & mantissa_mask_);
  return (bits & sign_bit_) != 0 ? -m : m;
}

FloatModel::BaseParts FloatModel::parts_of(uint64_t base) const {
  BaseParts b;
  b.sign = (base & sign_bit_) != 0;
  b.bits = base & (sign_bit_ - 1);
  b.rank = std::min(31u, count_ - 1 - rank_of_[b.bits >> plan_.mantissa_bits]);
  const uint32_t m = plan_.mantissa_bits;
  b.top = uint32_t(m >= 2 ? (b.bits >> (m - 2)) & 3 : b.bits & 1);
  return b;
}

uint32_t FloatModel::equal_context(const Expected& e, uint64_t base) const {
  const int unit = shift_of(uint32_t((base & (sign_bit_ - 1)) >> plan_.mantissa_bits)) * 16;
  return uint32_t(std::clamp((e.spread - unit) / 4 + 48, 0, 95));
}

void FloatModel::remember(uint32_t rank, uint32_t sign, uint32_t equal) {
  left_ = {uint8_t(rank), uint8_t(sign), uint8_t(equal)};
  if (above_.empty()) return;
  above_[at_column_] = left_;
  if (++at_column_ == above_.size()) at_column_ = 0;
}

}  // namespace pith::lossless::cm
