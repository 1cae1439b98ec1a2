// The contexts of differences between two states of a tensor: how far an element is likely to have
// moved, in units of its last place, from what the decoder knows already.
//
// An optimizer moves all the weights of a tensor by steps of about the same size, whatever the weight. In
// units of the last place such a step halves with each exponent of the base; and it is more likely to leave
// the octave from its ends than from its middle. So the base's exponent and the first bit of its mantissa are
// the context. (Levels for rows and columns were measured: they gain less than they cost.)
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "block.h"

namespace pith::lossless {

inline constexpr int kDeltaContexts = 32;  // 16 octaves, 2 halves each

// The field of a float that holds its exponent; integers have none.
struct ElementShape {
  int width = 1, exponent_shift = 0, exponent_mask = 0;
  bool is_float = false;

  template <class U>
  int exponent(U v) const {
    return static_cast<int>(v >> exponent_shift) & exponent_mask;
  }
  // Exponent and first mantissa bit, the index of context_table().
  template <class U>
  size_t half_octave(U v) const {
    return is_float ? static_cast<size_t>(v >> (exponent_shift - 1)) & (2 * static_cast<size_t>(exponent_mask) + 1) : 0;
  }
};

inline ElementShape shape_of(DType dtype) {
  const DTypeInfo& t = info(element_type(dtype));
  ElementShape s{static_cast<int>(t.block_bytes), 0, 0, t.kind == NumberKind::kFloat};
  if (s.is_float) {
    s.exponent_shift = t.mantissa_bits;
    s.exponent_mask = (1 << t.exponent_bits) - 1;
  }
  return s;
}

// The largest exponent that at least one base element in 1024 reaches, so that an outlier does not
// use up contexts.
template <class U>
int top_exponent(ByteView base, const ElementShape& shape) {
  if (!shape.is_float) return 0;
  std::vector<uint32_t> counts(static_cast<size_t>(shape.exponent_mask) + 1);
  const uint64_t n = base.size() / sizeof(U);
  for (uint64_t i = 0; i < n; ++i) ++counts[static_cast<size_t>(shape.exponent(load_le<U>(base.data() + i * sizeof(U))))];
  uint64_t above = 0;
  int top = shape.exponent_mask;
  while (top > 0 && (above += counts[static_cast<size_t>(top)]) * 1024 < n) --top;
  return top;
}

// The context of every value of a base's exponent and first mantissa bit: table[exponent << 1 | bit].
// 2 * (top - exponent), plus 1 in the lower half of the octave; integers have context 0.
inline Bytes context_table(const ElementShape& shape, int top) {
  Bytes table(2 * (static_cast<size_t>(shape.exponent_mask) + 1));
  if (!shape.is_float) return table;
  for (int e = 0; e <= shape.exponent_mask; ++e) {
    const int octave = std::clamp(top - e, 0, kDeltaContexts / 2 - 1);
    table[static_cast<size_t>(2 * e)] = static_cast<uint8_t>(2 * octave + 1);
    table[static_cast<size_t>(2 * e + 1)] = static_cast<uint8_t>(2 * octave);
  }
  return table;
}

// Sign-magnitude to two's complement, which orders floats by value (both zeros stay distinct); its
// own inverse. Integers are ordered already.
template <class U>
U ordered(U v, bool is_float) {
  constexpr U kSign = static_cast<U>(U{1} << (8 * sizeof(U) - 1));
  return is_float && (v & kSign) ? static_cast<U>(~(v ^ kSign)) : v;
}

// Difference that grows with the magnitude of the base, wrapped to the element's width.
template <class U>
std::make_signed_t<U> difference(U value, U base, bool is_float) {
  using S = std::make_signed_t<U>;
  const U d = static_cast<U>(ordered(value, is_float) - ordered(base, is_float));
  return static_cast<S>(is_float && static_cast<S>(base) < 0 ? static_cast<U>(U{0} - d) : d);
}

template <class U>
U apply_difference(std::make_signed_t<U> d, U base, bool is_float) {
  using S = std::make_signed_t<U>;
  const U up = is_float && static_cast<S>(base) < 0 ? static_cast<U>(U{0} - static_cast<U>(d)) : static_cast<U>(d);
  return ordered(static_cast<U>(up + ordered(base, is_float)), is_float);
}

}  // namespace pith::lossless
