#include "pith/entropy/histogram.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "histogram_few.h"

namespace pith::entropy {
namespace {

// log2(1 + i/256) in units of 2^-16, by repeated squaring: no floating point.
constexpr std::array<uint32_t, 257> make_log2_fractions() {
  std::array<uint32_t, 257> table{};
  for (uint32_t i = 0; i <= 256; ++i) {
    uint64_t x = uint64_t{256 + i} << 22;  // 1 <= x < 2 in units of 2^-30
    uint32_t bits = 0;
    for (int b = 0; b < 17; ++b) {
      x = (x * x) >> 30;
      bits <<= 1;
      if (x >= (uint64_t{2} << 30)) {
        bits |= 1;
        x >>= 1;
      }
    }
    table[i] = i == 256 ? 1u << 16 : (bits + 1) >> 1;
  }
  return table;
}
constexpr auto kLog2Fractions = make_log2_fractions();

// Four tables keep equal neighbours from waiting for each other's store.
constexpr size_t kTables = 4;

void count_words(const uint8_t* p, size_t words, uint32_t (*tables)[256]) {
  for (size_t i = 0; i < words; ++i, p += 8) {
    const auto w = load_le<uint64_t>(p);
    ++tables[0][w & 0xff];
    ++tables[1][w >> 8 & 0xff];
    ++tables[2][w >> 16 & 0xff];
    ++tables[3][w >> 24 & 0xff];
    ++tables[0][w >> 32 & 0xff];
    ++tables[1][w >> 40 & 0xff];
    ++tables[2][w >> 48 & 0xff];
    ++tables[3][w >> 56];
  }
}

void count_rest(ByteView symbols, Histogram& counts) {
  for (const uint8_t v : symbols) ++counts[v];
}

}  // namespace

void histogram(ByteView symbols, Histogram& counts) {
  counts.fill(0);
  const ByteView left = symbols.subspan(count_few(symbols, counts));
  if (left.size() >= kTables * 256) {
    uint32_t tables[kTables][256] = {};
    count_words(left.data(), left.size() / 8, tables);
    for (const auto& table : tables) {
      for (size_t v = 0; v < 256; ++v) counts[v] += table[v];
    }
    count_rest(left.last(left.size() % 8), counts);
  } else {
    count_rest(left, counts);
  }
}

double entropy_bits(const Histogram& counts) {
  double total = 0, sum = 0;
  for (const uint32_t c : counts) {
    if (c == 0) continue;
    total += c;
    sum += c * std::log2(static_cast<double>(c));
  }
  return total == 0 ? 0 : std::max(0.0, total * std::log2(total) - sum);
}

uint32_t log2_q16(uint32_t x) {
  if (x == 0) return 0;
  const auto exponent = static_cast<uint32_t>(std::bit_width(x) - 1);
  const uint32_t mantissa =
      exponent <= 24 ? (x << (24 - exponent)) - (1u << 24) : (x >> (exponent - 24)) - (1u << 24);
  const uint32_t i = mantissa >> 16, rest = mantissa & 0xffff;
  const uint32_t low = kLog2Fractions[i], step = kLog2Fractions[i + 1] - low;
  return (exponent << 16) + low + ((step * rest) >> 16);
}

}  // namespace pith::entropy
