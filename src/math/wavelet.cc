#include "pith/math/wavelet.h"

#include <algorithm>
#include <array>
#include <numbers>
#include <vector>

namespace pith::math {
namespace {

constexpr double kRoot2 = std::numbers::sqrt2, kRoot3 = std::numbers::sqrt3;

struct Filter {
  std::array<float, 4> low, high;
};

constexpr Filter filter(std::array<double, 4> h, int taps) {
  Filter f{};
  for (int k = 0; k < taps; ++k) {
    f.low[static_cast<size_t>(k)] = static_cast<float>(h[static_cast<size_t>(k)]);
    f.high[static_cast<size_t>(k)] =
        static_cast<float>((k % 2 ? -1 : 1) * h[static_cast<size_t>(taps - 1 - k)]);
  }
  return f;
}

constexpr Filter kHaar = filter({1 / kRoot2, 1 / kRoot2, 0, 0}, 2);
constexpr Filter kDaubechies4 = filter({(1 + kRoot3) / (4 * kRoot2), (3 + kRoot3) / (4 * kRoot2),
                                        (3 - kRoot3) / (4 * kRoot2), (1 - kRoot3) / (4 * kRoot2)},
                                       4);

const Filter& filter_of(Wavelet w) { return w == Wavelet::kHaar ? kHaar : kDaubechies4; }
size_t taps_of(Wavelet w) { return w == Wavelet::kHaar ? 2 : 4; }

// Averages, the odd element if there is one, details.
void split(Wavelet w, float* x, uint64_t n, std::vector<float>& out) {
  const Filter& f = filter_of(w);
  const uint64_t pairs = n / 2, even = 2 * pairs, details = n - pairs;
  out.assign(n, 0);
  for (uint64_t i = 0; i < pairs; ++i) {
    for (size_t k = 0; k < taps_of(w); ++k) {
      const float v = x[(2 * i + k) % even];
      out[i] += f.low[k] * v;
      out[details + i] += f.high[k] * v;
    }
  }
  if (n % 2) out[pairs] = x[n - 1];
  std::ranges::copy(out, x);
}

void join(Wavelet w, float* x, uint64_t n, std::vector<float>& out) {
  const Filter& f = filter_of(w);
  const uint64_t pairs = n / 2, even = 2 * pairs, details = n - pairs;
  out.assign(n, 0);
  for (uint64_t i = 0; i < pairs; ++i) {
    for (size_t k = 0; k < taps_of(w); ++k)
      out[(2 * i + k) % even] += f.low[k] * x[i] + f.high[k] * x[details + i];
  }
  if (n % 2) out[n - 1] = x[pairs];
  std::ranges::copy(out, x);
}

}  // namespace

int wavelet_levels(uint64_t n) {
  int levels = 0;
  for (; n > 1; n -= n / 2) ++levels;
  return levels;
}

void wavelet_forward(Wavelet wavelet, int levels, float* x, uint64_t n) {
  thread_local std::vector<float> out;
  for (int level = 0; level < levels && n > 1; ++level, n -= n / 2) split(wavelet, x, n, out);
}

void wavelet_inverse(Wavelet wavelet, int levels, float* x, uint64_t n) {
  thread_local std::vector<float> out;
  std::array<uint64_t, 64> sizes{};
  size_t count = 0;
  for (int level = 0; level < levels && n > 1; ++level, n -= n / 2) sizes[count++] = n;
  while (count > 0) join(wavelet, x, sizes[--count], out);
}

}  // namespace pith::math
