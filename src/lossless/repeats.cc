#include "repeats.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace pith::lossless {
namespace {

constexpr size_t kLongest = 8;  // bytes of a word
// Chance makes no two words of so many bits alike in 64 KiB, or not often.
constexpr double kWordBits = 24;
// Words at multiples of 8 are remembered, words at multiples of 3 looked up: a repeat of some 24
// bytes meets both, whatever its distance.
constexpr size_t kRemember = 8, kLookUp = 3;
constexpr size_t kEnough = 4;  // hits
constexpr int kSlotBits = 11;

}  // namespace

bool may_repeat(ByteView sample, double entropy) {
  if (sample.size() < 2 * kLongest) return false;
  const double bytes =
      std::clamp(std::ceil(kWordBits / std::max(entropy, 1.0)), 4.0, double{kLongest});
  const uint64_t mask = ~uint64_t{0} >> (64 - 8 * static_cast<int>(bytes));
  const auto word_at = [&](size_t at) { return load_le<uint64_t>(sample.data() + at) & mask; };
  const auto slot = [](uint64_t word) { return word * 0x9E3779B97F4A7C15u >> (64 - kSlotBits); };
  std::array<uint16_t, size_t{1} << kSlotBits> last{};  // place in units of 8 bytes, from 1
  size_t hits = 0, looked = 0;
  for (size_t at = 0; at + kLongest <= sample.size(); at += kRemember) {
    for (; looked <= at; looked += kLookUp) {
      const uint64_t word = word_at(looked);
      const uint16_t known = last[slot(word)];
      hits += known != 0 && word_at((known - 1u) * kRemember) == word;
    }
    if (hits >= kEnough) return true;
    last[slot(word_at(at))] = static_cast<uint16_t>(at / kRemember + 1);
  }
  return false;
}

}  // namespace pith::lossless
