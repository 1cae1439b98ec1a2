#include "ggml_scales.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "scales.h"

namespace pith::form::ggml {
namespace {

constexpr size_t kLanes = 8;
constexpr int kRounds = 3;  // of codes from scales and scales from codes

float total(const std::array<float, kLanes>& s) {
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

float f16(float v) { return rounded_scale(v, DType::kF16); }

// Boundaries lie at multiples of 1/2, so that the half below says which level is nearest.
constexpr int kReach = 116;  // beyond the outermost boundaries
constexpr auto kIq4Codes = [] {
  std::array<uint8_t, 4 * kReach> codes{};
  for (int i = 0; i < 4 * kReach; ++i) {
    const int quarter = 2 * (i - 2 * kReach) + 1;  // four times the middle of a half
    int best = 0;
    for (int c = 1; c < 16; ++c) {
      const int now = 4 * kIq4[static_cast<size_t>(c)] - quarter,
                then = 4 * kIq4[static_cast<size_t>(best)] - quarter;
      if ((now < 0 ? -now : now) < (then < 0 ? -then : then)) best = c;
    }
    codes[static_cast<size_t>(i)] = static_cast<uint8_t>(best);
  }
  return codes;
}();

// Sums over a group of what a level v stands for: x v, v v and v, each times the importance h.
struct Moments {
  float xv = 0, vv = 0, v = 0;
};

template <int kSize, class Levels>
Moments moments(const float* x, const float* h, float inverse, float zero, const Levels& levels) {
  std::array<float, kLanes> xv{}, vv{}, v{};
  for (size_t i = 0; i < kSize; i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) {
      const float level = levels.nearest((x[i + k] - zero) * inverse);
      const float weighted = h[i + k] * level;
      xv[k] += x[i + k] * weighted;
      vv[k] += level * weighted;
      v[k] += weighted;
    }
  }
  return {total(xv), total(vv), total(v)};
}

// The least and the largest are those of elements that matter.
struct Sums {
  float h = 0, x = 0, xx = 0, low = 0, high = 0;
};
template <int kSize>
Sums sums(const float* x, const float* h) {
  std::array<float, kLanes> n{}, s{}, ss{};
  for (size_t i = 0; i < kSize; i += kLanes) {
    for (size_t k = 0; k < kLanes; ++k) {
      const float weighted = h[i + k] * x[i + k];
      n[k] += h[i + k];
      s[k] += weighted;
      ss[k] += x[i + k] * weighted;
    }
  }
  Sums all{total(n), total(s), total(ss), INFINITY, -INFINITY};
  for (size_t i = 0; i < kSize; ++i) {
    if (!(h[i] > 0)) continue;
    all.low = std::min(all.low, x[i]);
    all.high = std::max(all.high, x[i]);
  }
  if (all.low > all.high) all.low = all.high = 0;
  return all;
}

// How much of the group's square the levels explain with their best scale.
float explained(const Moments& m) { return m.vv > 0 ? m.xv / m.vv * m.xv : 0; }

// The squared error of scale * level + zero.
double error(const Moments& m, const Sums& s, double scale, double zero) {
  return s.xx + scale * (scale * m.vv - 2 * m.xv) +
         zero * (s.h * zero + 2 * (scale * m.v - static_cast<double>(s.x)));
}

Line least_squares(const Moments& m, const Sums& s, bool down) {
  const double n = s.h, spread = n * m.vv - double{m.v} * m.v;
  Line line;
  if (spread > 0) {
    const double scale = (n * m.xv - double{s.x} * m.v) / spread;
    line = {static_cast<float>(scale), static_cast<float>((s.x - scale * m.v) / n)};
  } else if (n > 0) {
    line = {0, static_cast<float>(s.x / n)};
  }
  if (down && line.zero > 0) line = {m.vv > 0 ? m.xv / m.vv : 0, 0};
  return line;
}

float inverse_of(float scale) { return scale == 0 ? 0 : 1 / scale; }

}  // namespace

uint8_t Iq4Levels::code(float v) {
  const float limit = kReach - 0.25f;
  v = v < -limit ? -limit : v;
  v = v > limit ? limit : v;
  return kIq4Codes[static_cast<size_t>(static_cast<int>(2 * v + 2 * kReach))];
}

template <int kSize, class Levels>
float fit_scale(const float* x, const float* h, const Levels& levels, Search search, bool both) {
  const Sums s = sums<kSize>(x, h);
  const float largest = -s.low > s.high ? s.low : s.high;
  if (largest == 0) return 0;
  float best = 0, scale = 0;
  const auto attempt = [&](float i) {
    const Moments m = moments<kSize>(x, h, i, 0, levels);
    const float e = explained(m);
    if (e <= best) return;
    best = e;
    scale = m.xv / m.vv;
  };
  for (int i = 0; i < search.steps; ++i) {
    const float t = search.from + (search.to - search.from) * static_cast<float>(i) /
                                      static_cast<float>(std::max(1, search.steps - 1));
    attempt(-t / largest);
    if (both) attempt(t / largest);
  }
  for (int i = 0; i < kRounds && scale != 0; ++i) {
    const float before = best;
    attempt(1 / scale);
    if (best == before) break;
  }
  return scale;
}

template <int kSize>
Line fit_line(const float* x, const float* h, float most, Search search, bool down) {
  const IntegerLevels levels{0, most};
  const Sums s = sums<kSize>(x, h);
  const float low = down ? std::min(s.low, 0.0f) : s.low, span = s.high - low;
  if (!(span > 0)) return {0, low};
  Line best;
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < search.steps; ++i) {
    const float t = search.from + (search.to - search.from) * static_cast<float>(i) /
                                      static_cast<float>(std::max(1, search.steps - 1));
    Line line = least_squares(moments<kSize>(x, h, t / span, low, levels), s, down);
    for (int round = 0; round < 2; ++round) {
      const Moments m = moments<kSize>(x, h, inverse_of(line.scale), line.zero, levels);
      line = least_squares(m, s, down);
      const double e = error(m, s, line.scale, line.zero);
      if (e < least) {
        least = e;
        best = line;
      }
    }
  }
  return best;
}

namespace {

// The integer beside a group's best scale that is best with this d; error is what is left beside
// the squares of the elements.
struct ScaleChoice {
  int scale = 0;
  double error = std::numeric_limits<double>::infinity();
  Moments moments;
};

template <int kSize, class Levels>
ScaleChoice choose_scale(const float* x, const float* h, float scale, float d, const Levels& levels,
                         int most) {
  const int middle = static_cast<int>(
      std::lround(std::clamp(scale / d, static_cast<float>(-most), static_cast<float>(most - 1))));
  ScaleChoice best;
  for (int l = std::max(-most, middle - 1); l <= std::min(most - 1, middle + 1); ++l) {
    const float step = d * static_cast<float>(l);
    const Moments m = moments<kSize>(x, h, inverse_of(step), 0, levels);
    const double e = l == 0 ? 0 : double{step} * (double{step} * m.vv - 2 * double{m.xv});
    if (e < best.error) best = {l, e, m};
  }
  return best;
}

}  // namespace

template <int kSize, int kGroups, class Levels>
ScaledGroups fit_scaled(const float* x, const float* h, const Levels& levels, Search search,
                        int most) {
  std::array<float, kGroups> scales;
  float largest = 0;
  for (size_t g = 0; g < kGroups; ++g) {
    scales[g] = fit_scale<kSize>(x + g * kSize, h + g * kSize, levels, search, true);
    if (std::fabs(scales[g]) > std::fabs(largest)) largest = scales[g];
  }
  // The smaller limit, -most, takes the largest scale.
  float d = f16(largest / static_cast<float>(-most));
  ScaledGroups best;
  double least_left = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds && d != 0; ++round) {
    ScaledGroups now{d, {}};
    double left = 0, xv = 0, vv = 0;
    for (size_t g = 0; g < kGroups; ++g) {
      const ScaleChoice c =
          choose_scale<kSize>(x + g * kSize, h + g * kSize, scales[g], d, levels, most);
      now.scale[g] = c.scale;
      left += c.error;
      xv += c.scale * double{c.moments.xv};
      vv += c.scale * c.scale * double{c.moments.vv};
    }
    if (left >= least_left) break;
    least_left = left;
    best = now;
    if (!(vv > 0)) break;
    d = f16(static_cast<float>(xv / vv));
  }
  return best;
}

template <int kSize, class Levels>
int refit_scaled(const float* x, const float* h, const Levels& levels, Search search, int most,
                 float d) {
  if (d == 0) return 0;
  return choose_scale<kSize>(x, h, fit_scale<kSize>(x, h, levels, search, true), d, levels, most)
      .scale;
}

namespace {

// The integers beside the best line of a group that are best with this d and dmin.
struct Choice {
  int scale = 0, least = 0;
  double error = std::numeric_limits<double>::infinity();
  Moments moments;
};

template <int kSize>
Choice choose_line(const float* x, const float* h, const Sums& s, const Line& line,
                   const LineGroups& g, const IntegerLevels& levels, int most_scale) {
  Choice best;
  const auto nearest = [&](double v, float unit) {
    return unit == 0 ? 0
                     : static_cast<int>(
                           std::lround(std::clamp(v / unit, 0.0, static_cast<double>(most_scale))));
  };
  const auto attempt = [&](int scale, int least) {
    const float step = g.d * static_cast<float>(scale), low = g.dmin * static_cast<float>(least);
    const Moments m = moments<kSize>(x, h, inverse_of(step), -low, levels);
    const double e = error(m, s, step, -double{low});
    if (e < best.error) best = {scale, least, e, m};
    return m;
  };
  const int middle = nearest(line.scale, g.d), low = nearest(-line.zero, g.dmin);
  for (int l = std::max(0, middle - 1); l <= std::min(most_scale, middle + 1); ++l) {
    const Moments m = attempt(l, low);
    const double step = g.d * static_cast<float>(l);
    const int better = s.h > 0 ? nearest((step * m.v - s.x) / s.h, g.dmin) : low;
    if (better != low) attempt(l, better);
  }
  return best;
}

// d and dmin by least squares for the integers and codes that are there.
void refit(LineGroups& g, const std::array<Choice, 16>& choices, const std::array<Sums, 16>& s,
           int groups) {
  double a = 0, b = 0, c = 0, p = 0, r = 0;
  for (size_t i = 0; i < static_cast<size_t>(groups); ++i) {
    const Moments& m = choices[i].moments;
    const double scale = choices[i].scale, least = choices[i].least;
    a += scale * scale * m.vv;
    b += scale * least * m.v;
    c += least * least * s[i].h;
    p += scale * m.xv;
    r += least * s[i].x;
  }
  const double determinant = a * c - b * b;
  if (determinant > 1e-6 * a * c) {
    const double d = (p * c - r * b) / determinant, dmin = (p * b - r * a) / determinant;
    if (d >= 0 && dmin >= 0) {
      g.d = f16(static_cast<float>(d));
      g.dmin = f16(static_cast<float>(dmin));
    }
  } else if (a > 0 && c == 0 && p > 0) {
    g.d = f16(static_cast<float>(p / a));
  }
}

}  // namespace

template <int kSize, int kGroups>
LineGroups fit_lines(const float* x, const float* h, float most, Search search, int most_scale) {
  const IntegerLevels levels{0, most};
  std::array<Line, kGroups> lines;
  std::array<Sums, 16> s;
  LineGroups now;
  for (size_t g = 0; g < kGroups; ++g) {
    s[g] = sums<kSize>(x + g * kSize, h + g * kSize);
    lines[g] = fit_line<kSize>(x + g * kSize, h + g * kSize, most, search, true);
    now.d = std::max(now.d, lines[g].scale / static_cast<float>(most_scale));
    now.dmin = std::max(now.dmin, -lines[g].zero / static_cast<float>(most_scale));
  }
  now.d = f16(now.d);
  now.dmin = f16(now.dmin);
  LineGroups best = now;
  double least = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    std::array<Choice, 16> choices;
    double left = 0;
    for (size_t g = 0; g < kGroups; ++g) {
      choices[g] =
          choose_line<kSize>(x + g * kSize, h + g * kSize, s[g], lines[g], now, levels, most_scale);
      now.scale[g] = choices[g].scale;
      now.least[g] = choices[g].least;
      left += choices[g].error;
    }
    if (left >= least) break;
    least = left;
    best = now;
    refit(now, choices, s, kGroups);
  }
  return best;
}

template <int kSize>
std::pair<int, int> refit_line(const float* x, const float* h, float most, Search search,
                               int most_scale, float d, float dmin) {
  LineGroups shared;
  shared.d = d;
  shared.dmin = dmin;
  const Choice c =
      choose_line<kSize>(x, h, sums<kSize>(x, h), fit_line<kSize>(x, h, most, search, true), shared,
                         IntegerLevels{0, most}, most_scale);
  return {c.scale, c.least};
}

float fit_ternary(const float* x) {
  std::array<float, 256> sizes;
  std::transform(x, x + 256, sizes.begin(), [](float v) { return std::fabs(v); });
  std::ranges::sort(sizes, std::greater<>());
  double sum = 0, best = 0, scale = 0;
  for (size_t k = 0; k < sizes.size(); ++k) {
    sum += sizes[k];
    const double mean = sum / static_cast<double>(k + 1);
    if (mean * sum > best) {
      best = mean * sum;
      scale = mean;
    }
  }
  return f16(static_cast<float>(scale));
}

template float fit_scale<16>(const float*, const float*, const IntegerLevels&, Search, bool);
template float fit_scale<32>(const float*, const float*, const IntegerLevels&, Search, bool);
template float fit_scale<256>(const float*, const float*, const IntegerLevels&, Search, bool);
template float fit_scale<32>(const float*, const float*, const Iq4Levels&, Search, bool);
template Line fit_line<32>(const float*, const float*, float, Search, bool);
template ScaledGroups fit_scaled<16, 16>(const float*, const float*, const IntegerLevels&, Search,
                                         int);
template ScaledGroups fit_scaled<32, 8>(const float*, const float*, const Iq4Levels&, Search, int);
template int refit_scaled<16>(const float*, const float*, const IntegerLevels&, Search, int, float);
template int refit_scaled<32>(const float*, const float*, const Iq4Levels&, Search, int, float);
template LineGroups fit_lines<16, 16>(const float*, const float*, float, Search, int);
template LineGroups fit_lines<32, 8>(const float*, const float*, float, Search, int);
template std::pair<int, int> refit_line<16>(const float*, const float*, float, Search, int, float,
                                            float);
template std::pair<int, int> refit_line<32>(const float*, const float*, float, Search, int, float,
                                            float);

}  // namespace pith::form::ggml
