#include "grid.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <numbers>

#include "pith/base/error.h"

namespace pith::form {
namespace {

double density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }
double mass_below(double x) { return std::erfc(-x / std::numbers::sqrt2) / 2; }

// Lloyd's iteration on the density itself: each level moves to the mean of its cell. The density is
// log-concave, so there is one fixed point (Kieffer 1983).
std::vector<float> lloyd(int bits) {
  const size_t n = size_t{1} << bits;
  std::vector<double> level(n);
  for (size_t i = 0; i < n; ++i) {
    level[i] = 6.0 * ((static_cast<double>(i) + 0.5) / static_cast<double>(n) - 0.5);
  }
  for (int round = 0; round < 4000; ++round) {
    double moved = 0, low = -INFINITY;
    for (size_t i = 0; i < n; ++i) {
      const double high = i + 1 < n ? (level[i] + level[i + 1]) / 2 : INFINITY;
      const double mass = mass_below(high) - mass_below(low);
      const double mean = mass > 1e-300 ? (density(low) - density(high)) / mass : level[i];
      moved = std::max(moved, std::fabs(mean - level[i]));
      level[i] = mean;
      low = high;
    }
    if (moved < 1e-9) break;
  }
  return {level.begin(), level.end()};
}

// Made once: 8 bits take a while.
const std::vector<float>& gaussian(int bits) {
  static std::array<std::once_flag, 9> once;
  static std::array<std::vector<float>, 9> levels;
  const auto i = static_cast<size_t>(bits);
  std::call_once(once[i], [&] { levels[i] = lloyd(bits); });
  return levels[i];
}

// Values of a small float: exponent and mantissa bits, both signs, subnormals, no specials.
std::vector<float> small_float(int exponent_bits, int mantissa_bits, int bias, int dropped) {
  std::vector<float> levels;
  const int n = (1 << (exponent_bits + mantissa_bits)) - dropped;
  for (int magnitude = 0; magnitude < n; ++magnitude) {
    const int exponent = magnitude >> mantissa_bits,
              mantissa = magnitude & ((1 << mantissa_bits) - 1);
    const double significand = (exponent > 0 ? 1 : 0) + mantissa / std::exp2(mantissa_bits);
    const double v = std::ldexp(significand, std::max(exponent, 1) - bias);
    levels.push_back(static_cast<float>(v));
    levels.push_back(static_cast<float>(-v));
  }
  std::ranges::sort(levels);
  return levels;
}

constexpr std::array<float, 16> kNf4 = {-1.0f,
                                        -0.6961928009986877f,
                                        -0.5250730514526367f,
                                        -0.39491748809814453f,
                                        -0.28444138169288635f,
                                        -0.18477343022823334f,
                                        -0.09105003625154495f,
                                        0.0f,
                                        0.07958029955625534f,
                                        0.16093020141124725f,
                                        0.24611230194568634f,
                                        0.33791524171829224f,
                                        0.44070982933044434f,
                                        0.5626170039176941f,
                                        0.7229568362236023f,
                                        1.0f};

}  // namespace

int grid_bits(std::string_view name) {
  if (name == "nf4" || name == "fp4") return 4;
  if (name == "fp8") return 8;
  if (name == "ternary") return 2;
  if (name == "binary") return 1;
  return 0;
}

bool is_grid(std::string_view name, int bits) {
  return name == "uniform" || name == "positive" || name == "gaussian" ||
         (grid_bits(name) != 0 && grid_bits(name) == bits);
}

std::vector<float> grid_levels(std::string_view name, int bits, bool around_zero) {
  if (const int own = grid_bits(name); own != 0 && own != bits) {
    fail(ErrorKind::kUsage, "the grid {} has {} bits, not {}", name, own, bits);
  }
  if (name == "uniform" || name == "positive") {
    std::vector<float> levels;
    const int n = 1 << bits, first = around_zero && name == "uniform" ? -n / 2 : 0;
    for (int i = 0; i < n; ++i) levels.push_back(static_cast<float>(first + i));
    return levels;
  }
  if (name == "gaussian") return gaussian(bits);
  if (name == "nf4") return {kNf4.begin(), kNf4.end()};
  if (name == "fp4") return small_float(2, 1, 1, 0);
  if (name == "fp8") return small_float(4, 3, 7, 1);
  if (name == "ternary") return {-1, 0, 1};
  if (name == "binary") return {-1, 1};
  fail(ErrorKind::kUsage,
       "no grid is called {}; there are uniform, positive, gaussian, nf4, fp4, fp8, ternary and "
       "binary",
       name);
}

NearestLevel::NearestLevel(std::span<const float> levels) {
  for (size_t i = 0; i + 1 < levels.size(); ++i)
    middles_.push_back((levels[i] + levels[i + 1]) / 2);
}

uint8_t NearestLevel::operator()(float v) const {
  return static_cast<uint8_t>(std::ranges::lower_bound(middles_, v) - middles_.begin());
}

}  // namespace pith::form
