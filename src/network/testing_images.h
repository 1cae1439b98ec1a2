// Drawn shapes of ten classes in noise, as tools/train_networks.py draws them. Test-only.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "pith/base/random.h"
#include "pith/network/tensor.h"

namespace pith::network::testing {

struct Images {
  Tensor pixels;  // [n, 1, 24, 24] in [-1, 1)
  std::vector<int> classes;
};

// Numbers from here on were not trained with.
inline constexpr uint64_t kHeldOut = 1 << 20;

struct Drawing {
  int shape, radius, cx, cy, phase;

  bool covers(int x, int y) const {
    const int dx = x - cx, dy = y - cy, ax = std::abs(dx), ay = std::abs(dy);
    const int far = dx * dx + dy * dy, most = std::max(ax, ay);
    const bool inside = most <= radius;
    switch (shape) {
      case 0:
        return far <= radius * radius;
      case 1:
        return far <= radius * radius && far > (radius - 2) * (radius - 2);
      case 2:
        return inside;
      case 3:
        return inside && most > radius - 2;
      case 4:
        return ax + ay <= radius;
      case 5:
        return inside && std::min(ax, ay) <= 1;
      case 6:
        return inside && std::abs(ax - ay) <= 1;
      case 7:
        return inside && (dy + phase + 32) % 4 < 2;
      case 8:
        return inside && (dx + phase + 32) % 4 < 2;
      default:
        return inside && ((dx + 32) / 2 + (dy + 32) / 2) % 2 == 0;
    }
  }
};

inline Images draw_images(uint64_t first, uint64_t count) {
  constexpr int kSide = 24;
  Images out;
  std::vector<float> pixels;
  for (uint64_t id = first; id < first + count; ++id) {
    const auto pick = [id](uint64_t k, int least, int most) {
      return least + static_cast<int>((random_bits(0, id * 1024 + k) >> 40) %
                                      static_cast<uint64_t>(most - least + 1));
    };
    const Drawing d{pick(0, 0, 9), pick(1, 4, 8), pick(2, 8, 15), pick(3, 8, 15), pick(7, 0, 3)};
    const int light = pick(4, 96, 160), contrast = pick(5, 14, 60) * (2 * pick(6, 0, 1) - 1);
    for (int i = 0; i < kSide * kSide; ++i) {
      const uint64_t bits = random_bits(0, id * 1024 + 16 + static_cast<uint64_t>(i));
      int noise = -126;
      for (int k = 0; k < 4; ++k) noise += static_cast<int>(bits >> (8 * k) & 63);
      // Halved towards below, as Python does.
      const int value = light + (d.covers(i % kSide, i / kSide) ? contrast : 0) + (noise >> 1);
      pixels.push_back(static_cast<float>(std::clamp(value, 0, 255) - 128) / 128);
    }
    out.classes.push_back(d.shape);
  }
  out.pixels = Tensor({count, 1, kSide, kSide}, std::move(pixels));
  return out;
}

}  // namespace pith::network::testing
