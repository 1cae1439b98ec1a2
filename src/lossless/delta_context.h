// The contexts of differences between two states of a tensor: how far an element is likely to have
// moved, in units of its last place, from what the decoder knows already.
//
// An optimizer moves all the weights of a tensor by steps of about the same size, whatever the
// weight. In units of the last place such a step halves with each exponent of the base; and it is
// more likely to leave the octave from its ends than from its middle. So the base's exponent and
// the first bit of its mantissa are the context. (Levels for rows and columns were measured: they
// gain less than they cost.)
#pragma once

#include <algorithm>
#include <type_traits>

#include "block.h"

namespace pith::lossless {

inline constexpr int kDeltaContexts = 32;  // 16 octaves, 2 halves each

// The field of a float that holds its exponent, and the context that it gives; integers have none.
struct ElementShape {
  int width = 1, exponent_shift = 0, exponent_mask = 0;
  bool is_float = false;

  template <class U>
  int exponent(U v) const {
    return static_cast<int>(v >> exponent_shift) & exponent_mask;
  }
  // 2 * (top - exponent), plus 1 in the lower half of the octave; integers have context 0.
  template <class U>
  size_t context(U v, int top) const {
    if (!is_float) return 0;
    const int octave = std::clamp(top - exponent(v), 0, kDeltaContexts / 2 - 1);
    return static_cast<size_t>(2 * octave + 1 - static_cast<int>(v >> (exponent_shift - 1) & 1));
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

// Sign-magnitude to two's complement, which orders floats by value (both zeros stay distinct); its
// own inverse. Integers are ordered already.
template <class U>
U ordered(U v, bool is_float) {
  using S = std::make_signed_t<U>;
  constexpr int kSignBit = 8 * sizeof(U) - 1;
  const U magnitude = is_float ? static_cast<U>(~(U{1} << kSignBit)) : U{0};
  return static_cast<U>(v ^ (static_cast<U>(static_cast<S>(v) >> kSignBit) & magnitude));
}

// All ones where differences are counted downwards: at negative floats.
template <class U>
U downwards(U base, bool is_float) {
  return is_float ? static_cast<U>(static_cast<std::make_signed_t<U>>(base) >> (8 * sizeof(U) - 1))
                  : U{0};
}

// Difference that grows with the magnitude of the base, wrapped to the element's width.
template <class U>
std::make_signed_t<U> difference(U value, U base, bool is_float) {
  const U down = downwards(base, is_float);
  const U d = static_cast<U>(ordered(value, is_float) - ordered(base, is_float));
  return static_cast<std::make_signed_t<U>>(static_cast<U>((d ^ down) - down));
}

template <class U>
U apply_difference(std::make_signed_t<U> d, U base, bool is_float) {
  const U down = downwards(base, is_float);
  const U up = static_cast<U>((static_cast<U>(d) ^ down) - down);
  return ordered(static_cast<U>(up + ordered(base, is_float)), is_float);
}

}  // namespace pith::lossless
