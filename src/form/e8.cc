#include "e8.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "e8_search.h"
#include "pith/math/kmeans.h"

namespace pith::form {
namespace {

uint64_t word_of(const E8Vector& v) {
  uint64_t word;
  std::memcpy(&word, v.data(), sizeof word);
  return word;
}

E8Vector vector_of(uint64_t word) {
  E8Vector v;
  std::memcpy(v.data(), &word, sizeof word);
  return v;
}

int square(const E8Vector& v) {
  return std::accumulate(v.begin(), v.end(), 0, [](int sum, int8_t x) { return sum + x * x; });
}

// All vectors with elements among `values`, in lexicographic order of their places there.
template <class Keep>
std::vector<E8Vector> all_of(const std::vector<int8_t>& values, const Keep& keep) {
  std::vector<E8Vector> found;
  std::array<size_t, kE8> at{};
  for (;;) {
    E8Vector v;
    for (size_t i = 0; i < kE8; ++i) v[i] = values[at[i]];
    if (keep(v)) found.push_back(v);
    size_t i = kE8;
    while (i > 0 && ++at[i - 1] == values.size()) at[--i] = 0;
    if (i == 0) return found;
  }
}

// 227 patterns of squared length up to 10, and of the next ones those with five threes.
std::vector<E8Vector> patterns() {
  constexpr int kWhole = 10 * 16, kNext = 12 * 16;
  std::vector<E8Vector> found =
      all_of({2, 6, 10}, [](const E8Vector& v) { return square(v) <= kWhole; });
  const auto next = all_of({2, 6}, [](const E8Vector& v) { return square(v) == kNext; });
  found.insert(found.end(), next.begin(), next.begin() + static_cast<int64_t>(256 - found.size()));
  return found;
}

std::vector<E8Vector> short_vectors() {
  const auto sum = [](const E8Vector& v) { return std::accumulate(v.begin(), v.end(), 0); };
  // Integers, then halves, both with even sums: in quarters a multiple of 8.
  std::vector<E8Vector> found = {E8Vector{}};
  const auto add = [&](const std::vector<E8Vector>& some) {
    found.insert(found.end(), some.begin(), some.end());
  };
  add(all_of({-4, 0, 4}, [&](const E8Vector& v) { return square(v) == 32; }));
  add(all_of({-2, 2}, [&](const E8Vector& v) { return sum(v) % 8 == 0; }));
  for (size_t i = 0; found.size() < 256; ++i) {
    E8Vector v{};
    v[i / 2] = i % 2 == 0 ? 8 : -8;
    found.push_back(v);
  }
  return found;
}

E8Tables make() {
  E8Tables t;
  const auto positive = patterns();
  for (size_t i = 0; i < 256; ++i) {
    E8Vector v = positive[i];
    // Halves: the sum of the elements is that of quarters over 4.
    if (std::accumulate(v.begin(), v.end(), 0) / 4 % 2 != 0) v[7] = static_cast<int8_t>(-v[7]);
    t.patterns[i] = word_of(v);
    E8Vector flip{}, shift{};
    const unsigned bits = i & 127, last = static_cast<unsigned>(std::popcount(bits)) & 1;
    for (size_t k = 0; k < kE8; ++k) {
      const bool flipped = (bits | last << 7) >> k & 1;
      flip[k] = flipped ? -1 : 0;
      // Minus v is ~v + 1.
      shift[k] = static_cast<int8_t>((flipped ? 1 : 0) + (i >= 128 ? 1 : -1));
    }
    t.flips[i] = word_of(flip);
    t.shifts[i] = word_of(shift);
  }
  const auto shorts = short_vectors();
  for (size_t i = 0; i < 256; ++i) t.short_vectors[i] = word_of(shorts[i]);
  return t;
}

E8PatternColumns make_columns() {
  E8PatternColumns p;
  for (size_t i = 0; i < kE8Patterns; ++i) {
    const E8Vector v = vector_of(e8_tables().patterns[i]);
    for (size_t k = 0; k < kE8; ++k) p.columns[k][i] = std::fabs(static_cast<float>(v[k]));
    p.halves[i] = static_cast<float>(square(v)) / 2;
    p.odd[i] = v[7] < 0 ? ~uint32_t{0} : 0;
  }
  return p;
}

const E8PatternColumns& pattern_columns() {
  static const E8PatternColumns p = make_columns();
  return p;
}

struct Found {
  float cost = std::numeric_limits<float>::infinity();
  uint16_t code = 0;
};

// The best pattern and signs for one shift: signs follow x, and where their number has the wrong
// parity the one is turned that costs least.
void find(const float* x, int shift, Found& best) {
  const E8PatternColumns& p = pattern_columns();
  std::array<float, kE8> size;
  unsigned negative = 0;
  float length = 0;
  for (size_t k = 0; k < kE8; ++k) {
    const float y = x[k] - static_cast<float>(shift);
    size[k] = std::fabs(y);
    negative |= static_cast<unsigned>(y < 0) << k;
    length += size[k] * size[k];
  }
  const bool odd = std::popcount(negative) & 1;
  const E8Pattern found = nearest_e8_pattern(p, size.data(), length / 2, odd);
  if (!(found.cost < best.cost)) return;
  best.cost = found.cost;
  if ((p.odd[found.number] != 0) != odd) {
    size_t least = 0;
    for (size_t k = 1; k < kE8; ++k) {
      if (size[k] * p.columns[k][found.number] < size[least] * p.columns[least][found.number])
        least = k;
    }
    negative ^= 1u << least;
  }
  best.code =
      static_cast<uint16_t>(found.number | (negative & 127) << 8 | (shift > 0 ? 1u << 15 : 0));
}

math::NearestCentroid short_search() {
  std::vector<float> all;
  for (const uint64_t word : e8_tables().short_vectors) {
    for (const int8_t v : vector_of(word)) all.push_back(v);
  }
  return {all, kE8};
}

}  // namespace

const E8Tables& e8_tables() {
  static const E8Tables tables = make();
  return tables;
}

E8Vector e8_vector(uint16_t code) {
  const E8Tables& t = e8_tables();
  E8Vector v = vector_of(t.patterns[code & 255] ^ t.flips[code >> 8]);
  const E8Vector shift = vector_of(t.shifts[code >> 8]);
  for (size_t k = 0; k < kE8; ++k) v[k] = static_cast<int8_t>(v[k] + shift[k]);
  return v;
}

E8Vector e8_short_vector(uint8_t code) { return vector_of(e8_tables().short_vectors[code]); }

uint16_t nearest_e8(const float* x) {
  Found best;
  find(x, -1, best);
  find(x, 1, best);
  return best.code;
}

uint8_t nearest_short_e8(const float* x) {
  static const math::NearestCentroid nearest = short_search();
  uint32_t code = 0;
  nearest({x, kE8}, &code);
  return static_cast<uint8_t>(code);
}

}  // namespace pith::form
