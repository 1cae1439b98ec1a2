#include "integer_grades.h"

#include <bit>
#include <cmath>

namespace pith::form {
namespace {

constexpr int most_grade(int precision) { return ((kIntegerTotalLog + 1) << precision) + 1; }

// In units of 2^-precision slots, besides a first slot.
uint64_t weight_of(int grade, int precision) {
  if (grade < 2) return 0;
  const int steps = 1 << precision;
  return static_cast<uint64_t>(steps + (grade - 2) % steps) << ((grade - 2) / steps);
}

// The nearest.
int grade_of(uint64_t weight, int precision) {
  const uint64_t steps = uint64_t{1} << precision;
  if (2 * weight < steps) return 1;
  if (weight < steps) return 2;
  const int e = std::bit_width(weight) - 1 - precision;
  const uint64_t half = e == 0 ? 0 : uint64_t{1} << (e - 1);
  const auto above = static_cast<int>((weight + half) >> e) - (1 << precision);
  return std::min(e * (1 << precision) + above + 2, most_grade(precision));
}

// Of a share in units of 2^-kShareBits slots; small ones do not occur.
int expected_grade(int64_t share, int precision) {
  constexpr int kSlot = 1 << IntegerForecast::kShareBits;
  if (share < kSlot / 8) return 0;
  if (share < kSlot) return 1;
  return grade_of(static_cast<uint64_t>(share - kSlot) >> (IntegerForecast::kShareBits - precision),
                  precision);
}

// Outermost symbol on one side that is expected to occur.
int expected_range(const IntegerForecast& forecast, int direction) {
  int s = 0;
  for (int k = 1; k <= kMostSymbol; ++k) {
    if (expected_grade(forecast.share[symbol_place(direction * k)], 0) > 0) s = k;
  }
  return s;
}

// Codes grades outwards from zero, each as its distance from what its neighbours, its mirror image
// and the forecast let expect. `choose` may put another grade in the place of one.
template <class Coder, class Choose>
void code_grades(SideCoder<Coder>& coder, const IntegerForecast& forecast,
                 IntegerGradeModels& models, IntegerGrades& g, const Choose& choose) {
  IntegerGradeModels::Sort& sort = models.sorts[forecast.known ? 1 : 0];
  g.precision = std::min(static_cast<int>(coder.fair_bits(static_cast<uint32_t>(g.precision), 3)),
                         IntegerGrades::kMostPrecision);
  const int most = most_grade(g.precision);
  const auto precision = static_cast<size_t>(g.precision);
  const auto value = [&](int symbol, int expected, IntegerModel& model) {
    int& grade = g.grade[symbol_place(symbol)];
    expected = std::clamp(expected, 0, most);
    grade = choose(grade, expected, symbol);
    grade = static_cast<int>(
        std::clamp<int64_t>(coder.integer(grade - expected, model) + expected, 0, most));
    return grade - expected;
  };
  const auto range = [&](int64_t n, int64_t expected, IntegerModel& model) {
    return static_cast<int>(
        std::clamp<int64_t>(coder.integer(n - expected, model) + expected, 0, kMostSymbol));
  };
  value(kIntegerEscape, 0, models.escape);
  const int upper = forecast.known ? expected_range(forecast, 1) : 0;
  const int lower = forecast.known ? expected_range(forecast, -1) : 0;
  g.above = range(g.above, upper, sort.range);
  g.below = range(g.below, lower + g.above - upper, sort.asymmetry);
  const auto at = [&](int s) { return g.grade[symbol_place(s)]; };
  const auto foreseen = [&](int s) {
    return expected_grade(forecast.share[symbol_place(s)], g.precision);
  };
  int off =
      value(0, forecast.known ? foreseen(0) : (kIntegerTotalLog - 1) << g.precision, sort.zero);
  int image_off = off;
  for (int k = 1; k <= std::max(g.above, g.below); ++k) {
    // Outwards from a and b, the symbols before, without a forecast.
    const auto onwards = [&](int a, int b) { return std::max(1, a + (k > 1 ? a - b : 0)); };
    if (k <= g.above) {
      const int expected = forecast.known ? std::max(1, foreseen(k) + off / 2)
                                          : onwards(at(k - 1), k > 1 ? at(k - 2) : 0);
      value(k, expected, sort.outwards[precision]);
      off = forecast.known ? at(k) - foreseen(k) : 0;
      image_off = off;
    }
    if (k > g.below) continue;
    int expected = at(k);
    if (forecast.known) {
      expected = std::max(1, foreseen(-k) + image_off);
    } else if (k > g.above) {
      expected = onwards(at(1 - k), k > 1 ? at(2 - k) : 0);
    }
    value(-k, expected, sort.mirrored[precision]);
    if (k > g.above) image_off = forecast.known ? (at(-k) - foreseen(-k)) / 2 : 0;
  }
}

// As they are.
int kept(int grade, int, int) { return grade; }

IntegerGrades grades_of(const IntegerCounts& counts, int precision) {
  IntegerGrades g{precision, 0, 0, {}};
  uint64_t total = 0;
  for (const uint64_t c : counts) total += c;
  for (int s = -kMostSymbol; s <= kMostSymbol; ++s) {
    if (counts[symbol_place(s)] == 0) continue;
    g.below = std::max(g.below, -s);
    g.above = std::max(g.above, s);
  }
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double share = std::ldexp(static_cast<double>(counts[i]) / static_cast<double>(total),
                                    kIntegerTotalLog + precision);
    const double slot = std::ldexp(1.0, precision);
    g.grade[i] = grade_of(share > slot ? static_cast<uint64_t>(share - slot) : 0, precision);
  }
  return g;
}

// The grade to take where another was expected: near to the count, and few bits away.
class NearEnough {
 public:
  NearEnough(const IntegerCounts& counts, int precision) : counts_(counts), precision_(precision) {
    for (const uint64_t c : counts) total_ += static_cast<double>(c);
  }

  int operator()(int grade, int expected, int symbol) const {
    const auto count = static_cast<double>(counts_[symbol_place(symbol)]);
    if (grade == expected || count == 0) return grade;
    int best = grade;
    double least = INFINITY;
    const int step = grade < expected ? 1 : -1;
    for (int g = grade; g != expected + step; g += step) {
      if (g == 0) continue;
      const double bits = lost(count, g) + 2 * std::log2(1.0 + std::abs(g - expected));
      if (bits >= least) continue;
      least = bits;
      best = g;
    }
    return best;
  }

 private:
  // Bits that symbols have more with the share of this grade.
  double lost(double count, int grade) const {
    const double slots =
        1 + std::ldexp(static_cast<double>(weight_of(grade, precision_)), -precision_);
    const double expected = total_ * slots / kIntegerTotal;
    return count * std::log2(count / expected) + (expected - count) * 1.4426950408889634;
  }

  const IntegerCounts& counts_;
  int precision_;
  double total_ = 0;
};

// Bits of symbols with these counts.
double coded_bits(const IntegerCounts& counts, const IntegerFrequencies& table) {
  double bits = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] > 0)
      bits += static_cast<double>(counts[i]) *
              (kIntegerTotalLog - std::log2(static_cast<double>(table[i])));
  }
  return bits;
}

// Lower end of what is rounded to a code, in quarters.
int lower_end(int code, bool odd) {
  if (!odd) return 4 * code - 2;
  if (code > 1) return 4 * code - 4;
  if (code == 1) return 1;
  if (code == 0) return -1;
  if (code == -1) return -4;
  return 4 * code;
}

constexpr int kPlaceBits = 16;

// In quarters of a code, times 2^kPlaceBits.
int64_t place_of(int symbol, const IntegerTableSort& sort) {
  const int low = low_bits_of(sort.first_class);
  return int64_t{lower_end(symbol * (1 << low), sort.odd)} << kPlaceBits;
}

}  // namespace

IntegerFrequencies frequencies_of(const IntegerGrades& grades) {
  std::array<int, 256> grade = grades.grade;
  uint64_t used = 0, whole = 0;
  for (const int g : grade) used += g > 0 ? 1 : 0;
  if (used == 0) {
    used = 1;
    grade[symbol_place(0)] = 1;
  }
  for (const int g : grade) whole += weight_of(g, grades.precision);
  const uint64_t shared = kIntegerTotal - used;
  IntegerFrequencies out{};
  uint64_t sum = 0, given = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    if (grade[i] == 0) continue;
    sum += whole == 0 ? 1 : weight_of(grade[i], grades.precision);
    const uint64_t until = sum * shared / (whole == 0 ? used : whole);
    out[i] = static_cast<uint16_t>(1 + until - given);
    given = until;
  }
  return out;
}

IntegerForecast forecast_table(const IntegerTableSort& before, const IntegerFrequencies& table,
                               const IntegerTableSort& sort) {
  // 2^(i / 8) * 2^kPlaceBits
  constexpr std::array<int64_t, 8> kEighths = {65536, 71468,  77936,  84990,
                                               92682, 101070, 110218, 120194};
  // Classes are a quarter of an octave apart; twice the middle of some is in eighths.
  const int narrower = before.first_class + before.last_class - sort.first_class - sort.last_class;
  const int64_t factor = kEighths[static_cast<size_t>(narrower & 7)];
  const int octaves = narrower >> 3;
  const auto in_before = [&](int symbol) {
    const int64_t x = (place_of(symbol, sort) >> 8) * factor >> (kPlaceBits - 8);
    return octaves >= 0 ? x * (int64_t{1} << octaves) : x >> -octaves;
  };
  IntegerForecast out;
  out.known = true;
  int s = -kMostSymbol;  // of the table before
  int64_t cumulated = 0;
  const auto below = [&](int64_t x) {
    while (s <= kMostSymbol && place_of(s + 1, before) <= x) cumulated += table[symbol_place(s++)];
    int64_t part = 0;
    if (s <= kMostSymbol && x > place_of(s, before)) {
      const int64_t low = place_of(s, before), width = place_of(s + 1, before) - low;
      part = (int64_t{table[symbol_place(s)]} << IntegerForecast::kShareBits) * ((x - low) >> 8) /
             (width >> 8);
    }
    return (cumulated << IntegerForecast::kShareBits) + part;
  };
  int64_t last = below(in_before(-kMostSymbol));
  for (int k = -kMostSymbol; k <= kMostSymbol; ++k) {
    const int64_t next = below(in_before(k + 1));
    out.share[symbol_place(k)] = next - last;
    last = next;
  }
  return out;
}

IntegerGrades read_grades(SideCoder<entropy::BinaryDecoder>& from, const IntegerForecast& forecast,
                          IntegerGradeModels& models) {
  IntegerGrades g;
  code_grades(from, forecast, models, g, kept);
  return g;
}

IntegerGrades write_grades(const IntegerCounts& counts, const IntegerForecast& forecast,
                           IntegerGradeModels& models, SideCoder<entropy::BinaryEncoder>& to) {
  IntegerGrades best;
  double least = INFINITY;
  for (int precision = 0; precision <= IntegerGrades::kMostPrecision; ++precision) {
    const NearEnough near_enough(counts, precision);
    IntegerGrades g = grades_of(counts, precision);
    IntegerGradeModels tried = models;
    entropy::BinaryCost cost;
    SideCoder<entropy::BinaryCost> coder(cost);
    code_grades(coder, forecast, tried, g, near_enough);
    const double bits =
        coded_bits(counts, frequencies_of(g)) + static_cast<double>(cost.cost()) / 4096;
    if (bits >= least) continue;
    least = bits;
    best = g;
  }
  code_grades(to, forecast, models, best, kept);
  return best;
}

}  // namespace pith::form
