// Lists of small integers in few bits: each is binarized (zero, sign, Exp-Golomb), and the bits are
// coded with adaptive probabilities. One template is the encoder, the decoder and what counts bits.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "pith/entropy/binary_coder.h"

namespace pith::form {

// How integers of one sort are distributed, as learned so far.
struct IntegerModel {
  static constexpr int kMostBits = 40;
  entropy::AdaptiveBit zero, negative;
  std::array<entropy::AdaptiveBit, kMostBits> more, top;
};

template <class Coder>
class SideCoder {
 public:
  static constexpr bool kDecodes = Coder::kDecodes;

  explicit SideCoder(Coder& coder) : coder_(coder) {}

  uint32_t bit(uint32_t value, entropy::AdaptiveBit& model) {
    const uint32_t p = std::clamp(model.p16(), kLeast, entropy::kProbabilityOne - kLeast);
    const uint32_t b = coder_.code(value, p);
    model.update(b, kMemory);
    return b;
  }

  uint32_t fair_bits(uint32_t value, int bits) {
    uint32_t out = 0;
    for (int i = bits; i-- > 0;)
      out = out << 1 | coder_.code(value >> i & 1, entropy::kProbabilityOne / 2);
    return out;
  }

  // |value| < 2^kMostBits. When decoding, the value is not looked at.
  int64_t integer(int64_t value, IntegerModel& model) {
    if (bit(value == 0, model.zero) != 0) return 0;
    const bool negative = bit(value < 0, model.negative) != 0;
    const uint64_t size = natural(static_cast<uint64_t>(value < 0 ? -value : value), model);
    return negative ? -static_cast<int64_t>(size) : static_cast<int64_t>(size);
  }

  // 1 <= value < 2^kMostBits, without zero and sign.
  uint64_t natural(uint64_t value, IntegerModel& model) {
    const int bits = kDecodes ? 0 : std::bit_width(value) - 1;
    int n = 0;
    while (n + 1 < IntegerModel::kMostBits &&
           bit(n < bits, model.more[static_cast<size_t>(n)]) != 0)
      ++n;
    uint64_t out = 1;
    for (int i = n; i-- > 0;) {
      const auto b = static_cast<uint32_t>(value >> i & 1);
      out = out << 1 | (i == n - 1 ? bit(b, model.top[static_cast<size_t>(n)]) : fair_bits(b, 1));
    }
    return out;
  }

  // Integers by themselves, or as differences where those are fewer bits.
  template <class T>
  void list(std::span<T> values) {
    bool differences = false;
    int64_t center = 0;
    if constexpr (!kDecodes) {
      center = median(values);
      entropy::BinaryCost plain, steps;
      SideCoder<entropy::BinaryCost>(plain).elements(values, center, false);
      SideCoder<entropy::BinaryCost>(steps).elements(values, center, true);
      differences = steps.cost() < plain.cost();
    }
    differences = fair_bits(differences, 1) != 0;
    IntegerModel fresh;
    center = integer(center, fresh);
    elements(values, center, differences);
  }

  template <class T>
  void elements(std::span<T> values, int64_t center, bool differences) {
    IntegerModel model;
    for (T& v : values) {
      const int64_t coded = integer(static_cast<int64_t>(v) - center, model);
      // What is damaged may leave any range.
      if constexpr (kDecodes)
        v = static_cast<T>(static_cast<uint64_t>(coded) + static_cast<uint64_t>(center));
      if (differences) center = static_cast<int64_t>(v);
    }
  }

 private:
  static constexpr uint32_t kLeast = 64, kMemory = 255;

  template <class T>
  static int64_t median(std::span<T> values) {
    if (values.empty()) return 0;
    std::vector<T> copy(values.begin(), values.end());
    const auto middle = copy.begin() + static_cast<ptrdiff_t>(copy.size() / 2);
    std::nth_element(copy.begin(), middle, copy.end());
    return static_cast<int64_t>(*middle);
  }

  Coder& coder_;
};

}  // namespace pith::form
