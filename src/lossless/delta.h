// What the two sides of delta coding agree on.
#pragma once

#include "delta_context.h"

namespace pith::lossless {

inline constexpr int kEscape = -128;    // a symbol: the difference follows whole in the escapes
inline constexpr int kLastShift = 48;

struct DeltaModel {
  std::array<uint8_t, kDeltaContexts> shift{};  // low bits stored as they are
  std::array<uint8_t, kDeltaContexts> table{};  // the stream that a context's symbols go to
  int tables = 0;
};

}  // namespace pith::lossless
