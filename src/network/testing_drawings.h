// Drawings of eight by eight pixels and words that ask for them, as tools/train_diffusion.py makes
// them. Test-only.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "pith/base/random.h"
#include "pith/network/tensor.h"

namespace pith::network::testing {

inline constexpr uint64_t kPixels = 64, kWords = 16, kDrawingClasses = 16;

struct Drawings {
  Tensor pixels;  // [n, 64]
  Tensor words;   // [n, 16] of zeros and ones
  std::vector<int> classes;
};

// Numbers from 2^20 on were not trained with.
inline Drawings draw_drawings(uint64_t first, uint64_t count) {
  Drawings out;
  std::vector<float> pixels, words(count * kWords);
  for (uint64_t n = 0; n < count; ++n) {
    const uint64_t id = (first + n) * 256 + (uint64_t{1} << 40);
    const auto pick = [id](uint64_t k, uint64_t most) {
      return static_cast<int>((random_bits(0, id + k) >> 40) % (most + 1));
    };
    const int shape = pick(0, 3), dark = pick(1, 1), right = pick(2, 1), cy = 2 + pick(3, 3);
    const double level = (10 + pick(4, 10)) / 20.0 * (1 - 2 * dark);
    const int concepts[3] = {shape, 4 + dark, 6 + right};
    for (uint64_t k = 0; k < 3; ++k) {
      words[n * kWords + static_cast<uint64_t>(2 * concepts[k] + pick(5 + k, 1))] = 1;
    }
    for (int i = 0; i < 64; ++i) {
      const int dx = i % 8 - 2 - 3 * right, dy = i / 8 - cy, ax = std::abs(dx), ay = std::abs(dy);
      const int most = std::max(ax, ay);
      const bool covered = shape == 0   ? dx * dx + dy * dy <= 5
                           : shape == 1 ? most == 2
                           : shape == 2 ? most <= 2 && std::min(ax, ay) == 0
                                        : most <= 2 && ay % 2 == 0;
      const uint64_t bits = random_bits(0, id + 16 + static_cast<uint64_t>(i)) >> 40;
      const int noise = static_cast<int>(bits % 41) - 20;
      pixels.push_back(static_cast<float>(covered ? level : 0) + static_cast<float>(noise / 200.0));
    }
    out.classes.push_back(shape * 4 + dark * 2 + right);
  }
  out.pixels = Tensor({count, kPixels}, std::move(pixels));
  out.words = Tensor({count, kWords}, std::move(words));
  return out;
}

}  // namespace pith::network::testing
