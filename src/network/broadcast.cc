#include "broadcast.h"

#include <fmt/ranges.h>

namespace pith::network {

Dims broadcast(const Dims& a, const Dims& b) {
  Dims out(std::max(a.size(), b.size()), 1);
  for (size_t k = 0; k < out.size(); ++k) {
    const uint64_t x = k < a.size() ? a[a.size() - 1 - k] : 1;
    const uint64_t y = k < b.size() ? b[b.size() - 1 - k] : 1;
    if (x != y && x != 1 && y != 1) {
      fail(ErrorKind::kData, "shapes {} and {} do not fit each other", a, b);
    }
    out[out.size() - 1 - k] = x == 1 ? y : x;
  }
  elements(out);
  return out;
}

std::vector<uint64_t> broadcast_strides(const Dims& from, const Dims& to) {
  std::vector<uint64_t> strides(to.size(), 0);
  uint64_t step = 1;
  for (size_t k = 0; k < from.size(); ++k) {
    const uint64_t d = from[from.size() - 1 - k];
    strides[to.size() - 1 - k] = d == 1 ? 0 : step;
    step *= d;
  }
  return strides;
}

Pairing::Pairing(const Dims& a, const Dims& b)
    : dims(broadcast(a, b)),
      strides_a(broadcast_strides(a, dims)),
      strides_b(broadcast_strides(b, dims)) {
  if (dims.empty()) return;
  n = dims.back();
  step_a = strides_a.back();
  step_b = strides_b.back();
}

}  // namespace pith::network
