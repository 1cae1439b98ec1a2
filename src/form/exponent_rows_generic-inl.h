// Short exponent codes on every instruction set but AVX-512 with VBMI2: included once for each by
// exponent_rows.cc. A block goes through memory; escapes are put in one by one.
HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {

constexpr int kRowsAtOnce = 1;
constexpr int kVectorsAtOnce = 6;

// The high byte of each place but what is not exponent; `third` has bit p for place p.
#if HWY_TARGET == HWY_SCALAR

template <bool kHalf>
HWY_INLINE void decode_block(uint64_t table, Escapes& escapes, const uint8_t* low,
                             const uint8_t* codes, uint8_t* HWY_RESTRICT halves) {
  constexpr auto kColumns = columns_of_places(kHalf);
  const uint8_t* pairs = kHalf ? codes + 32 : codes;
  const uint8_t* next = escapes.next();
  for (uint64_t p = 0; p < kExponentBlock; ++p) {
    const int nibble =
        kHalf ? codes[p % 32] >> (p / 32 * 4) & 15 : codes[16 + p / 8] >> p % 8 << 3 & 8;
    const int code = (pairs[p % 16] >> (p / 16 * 2) & 3) | nibble >> 3 << 2;
    const auto exponent = code == kEscape ? *next++ : static_cast<uint8_t>(table >> 8 * code);
    const auto rotated = static_cast<uint16_t>((exponent | (nibble & 7)) << 8 | low[p]);
    store_le(halves + 2 * kColumns[p], std::rotr(rotated, 1));
  }
  escapes.skip(static_cast<int>(next - escapes.next()));
}

#else

template <bool kHalf>
HWY_INLINE void decode_block(uint64_t table, Escapes& escapes, const uint8_t* low,
                             const uint8_t* codes, uint8_t* HWY_RESTRICT halves) {
  const hn::FixedTag<uint8_t, 16> d;
  const hn::FixedTag<uint16_t, 8> words;
  const hn::FixedTag<uint32_t, 4> wide;
  const auto shifted = [&](const uint8_t* p, int by) {
    return hn::BitCast(d, hn::ShiftRightSame(hn::BitCast(words, hn::LoadU(d, p)), by));
  };
  // Codes of f16 have their highest bit at 8: exponents 4 to 7 are in the upper half.
  alignas(16) uint8_t exponents[16], third[16] = {}, bits[8] = {};
  store_le(exponents, table);
  store_le(exponents + 8, kHalf ? table >> 32 : table);
  const auto lookup = hn::Load(d, exponents);
  if (!kHalf) std::memcpy(third, codes + 16, 8);
  const uint8_t* next = escapes.next();
  for (int q = 0; q < 4; ++q) {
    auto code = hn::And(shifted(kHalf ? codes + 32 : codes, 2 * q), hn::Set(d, 3));
    auto rest = hn::Zero(d);
    if constexpr (kHalf) {
      const auto nibbles = shifted(codes + q % 2 * 16, q / 2 * 4);
      rest = hn::And(nibbles, hn::Set(d, 7));
      code = hn::Or(code, hn::And(nibbles, hn::Set(d, 8)));
    } else {
      code = hn::Or(code, hn::IfThenElseZero(hn::LoadMaskBits(d, third + 2 * q), hn::Set(d, 4)));
    }
    auto high = hn::TableLookupBytes(lookup, code);
    hn::StoreMaskBits(d, hn::Eq(code, hn::Set(d, kHalf ? 11 : kEscape)), bits);
    if (uint32_t escaped = load_le<uint16_t>(bits); escaped != 0) {
      alignas(16) uint8_t patched[16];
      hn::Store(high, d, patched);
      for (; escaped != 0; escaped &= escaped - 1) patched[std::countr_zero(escaped)] = *next++;
      high = hn::Load(d, patched);
    }
    high = hn::Or(high, rest);
    const auto bytes = hn::LoadU(d, low + 16 * q);
    const auto rotated = [&](auto v) {
      const auto w = hn::BitCast(words, v);
      return hn::Or(hn::ShiftRight<1>(w), hn::ShiftLeft<15>(w));
    };
    const auto a = rotated(hn::InterleaveLower(d, bytes, high));
    const auto b = rotated(hn::InterleaveUpper(d, bytes, high));
    auto* to = reinterpret_cast<uint16_t*>(halves);
    if constexpr (kHalf) {
      hn::StoreU(a, words, to + 8 * q);
      hn::StoreU(b, words, to + 32 + 8 * q);
    } else {
      const hn::FixedTag<uint16_t, 4> four;
      const auto put = [&](auto v, int at) {
        hn::StoreU(hn::TruncateTo(four, hn::BitCast(wide, v)), four, to + at + 4 * q);
        hn::StoreU(hn::TruncateTo(four, hn::ShiftRight<16>(hn::BitCast(wide, v))), four,
                   to + at + 16 + 4 * q);
      };
      put(a, 0);
      put(b, 32);
    }
  }
  escapes.skip(static_cast<int>(next - escapes.next()));
}

#endif

template <bool kHalf, class Function>
HWY_INLINE void for_each_decoded(const ExponentRows& rows, uint64_t r, Function&& f) {
  Escapes escapes(rows, r);
  const uint64_t table = table_of(rows, r);
  alignas(64) uint8_t halves[2 * kExponentBlock];
  for_each_block<kHalf>(rows.blocks + r * exponent_row_bytes(rows.cols, kHalf), rows.cols,
                        [&](const uint8_t* low, const uint8_t* codes, uint64_t column) {
                          decode_block<kHalf>(table, escapes, low, codes, halves);
                          f(halves, column, std::min(kExponentBlock, rows.cols - column));
                        });
}

template <bool kHalf>
void decode_row(const ExponentRows& rows, uint64_t r, float* out) {
  for_each_decoded<kHalf>(rows, r, [&](const uint8_t* halves, uint64_t column, uint64_t n) {
    convert<std::conditional_t<kHalf, LoadF16Exactly, LoadBF16>>(halves, n, out + column);
  });
}

template <bool kHalf, int R, int V>
HWY_INLINE void multiply_few(const ExponentRows& rows, uint64_t r, const float* x, float* out,
                             uint64_t stride) {
  using Load = std::conditional_t<kHalf, LoadF16, LoadBF16>;
  alignas(64) float sums[V * kSums] = {};
  for_each_decoded<kHalf>(rows, r, [&](const uint8_t* halves, uint64_t column, uint64_t n) {
    const uint64_t whole = n - n % kSums;
    for (uint64_t v = 0; v < V; ++v) {
      const float* vector = x + v * rows.cols + column;
      float* sum = sums + v * kSums;
      add_products<Load, 1, 1>(halves, 0, vector, 0, whole, sum);
      add_last_products<Load, 1, 1>(halves + 2 * whole, 0, vector + whole, 0, n - whole, sum);
    }
  });
  for (uint64_t v = 0; v < V; ++v) out[v * stride] = sum_of(sums + v * kSums);
}

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
