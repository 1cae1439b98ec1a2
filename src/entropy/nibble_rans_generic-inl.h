// nibble_rans on any instruction set with byte shuffles, in vectors of 16 or 32 bytes: included by
// nibble_rans_kernels.cc once for each target, so without an include guard.

HWY_BEFORE_NAMESPACE();
namespace pith::entropy::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D8 = hn::CappedTag<uint8_t, 32>;
using DS8 = hn::RebindToSigned<D8>;
using D16 = hn::Repartition<uint16_t, D8>;
using DGroup = hn::FixedTag<uint8_t, 8>;
using V8 = hn::Vec<D8>;
using V16 = hn::Vec<D16>;
constexpr D8 kD8;
constexpr DS8 kDS8;
constexpr D16 kD16;
constexpr DGroup kDGroup;
constexpr size_t kWidth = hn::MaxLanes(D8());
constexpr size_t kVectors = kNibbleLanes / kWidth;

HWY_INLINE V16 words(V8 v) { return hn::BitCast(kD16, v); }
HWY_INLINE V8 bytes(V16 v) { return hn::BitCast(kD8, v); }
HWY_INLINE V16 low_mask() { return hn::Set(kD16, 0x00ff); }

// Bytes 2i and 2i + 1 from the low bytes of even and odd word i, or from the high bytes.
HWY_INLINE V8 low_bytes(V16 even, V16 odd) {
  return bytes(hn::Or(hn::And(even, low_mask()), hn::ShiftLeft<8>(odd)));
}
HWY_INLINE V8 high_bytes(V16 even, V16 odd) {
  return bytes(hn::Or(hn::ShiftRight<8>(even), hn::AndNot(low_mask(), odd)));
}
// The reverse: word i of the lanes 2i (2i + 1), from the planes of low and high bytes.
HWY_INLINE V16 even_words(V8 low, V8 high) {
  return hn::Or(hn::And(words(low), low_mask()), hn::ShiftLeft<8>(words(high)));
}
HWY_INLINE V16 odd_words(V8 low, V8 high) {
  return hn::Or(hn::ShiftRight<8>(words(low)), hn::AndNot(low_mask(), words(high)));
}

HWY_INLINE uint32_t mask_bits(hn::Mask<D8> mask) {
  uint8_t raw[8] = {};
  hn::StoreMaskBits(kD8, mask, raw);
  return load_le<uint32_t>(raw);
}

// For each mask of 8 lanes: which of the next bytes goes to a lane (0x80: none), and which lanes go
// to the bytes before a position, right-aligned.
struct GroupShuffles {
  alignas(8) uint8_t expand[256][8], compress[256][8];
  constexpr GroupShuffles() : expand(), compress() {
    for (int m = 0; m < 256; ++m) {
      int n = 0;
      for (int i = 0; i < 8; ++i)
        expand[m][i] = static_cast<uint8_t>((m >> i & 1) != 0 ? n++ : 0x80);
      for (int i = 0; i < 8; ++i) compress[m][i] = 0x80;
      for (int i = 7, to = 7; i >= 0; --i) {
        if ((m >> i & 1) != 0) compress[m][to--] = static_cast<uint8_t>(i);
      }
    }
  }
};
constexpr GroupShuffles kShuffles;

HWY_INLINE hn::Vec<DGroup> expand_group(uint32_t mask, const uint8_t*& in) {
  const auto group =
      hn::TableLookupBytesOr0(hn::LoadU(kDGroup, in), hn::Load(kDGroup, kShuffles.expand[mask]));
  in += std::popcount(mask);
  return group;
}

HWY_INLINE hn::Vec<hn::FixedTag<uint8_t, 16>> expand_half(uint32_t mask, const uint8_t*& in) {
  const auto low = expand_group(mask & 0xff, in);
  const auto high = expand_group(mask >> 8 & 0xff, in);
  return hn::Combine(hn::FixedTag<uint8_t, 16>(), high, low);
}

// The next bytes of the stream at the lanes of the mask, in order; zero elsewhere.
template <class D>
HWY_INLINE hn::Vec<D> expand_bytes(D d, uint32_t mask, const uint8_t*& in) {
  if constexpr (hn::MaxLanes(D()) == 32) {
    const auto low = expand_half(mask & 0xffff, in);
    const auto high = expand_half(mask >> 16, in);
    return hn::Combine(d, high, low);
  } else {
    (void)d;
    return expand_half(mask, in);
  }
}

// The bytes of the lanes of the mask, in order, just below `out`; overwrites up to 8 bytes below.
HWY_INLINE void push_bytes(V8 v, uint32_t mask, uint8_t*& out) {
  HWY_ALIGN uint8_t lanes[kWidth];
  hn::Store(v, kD8, lanes);
  for (size_t g = kWidth / 8; g-- > 0;) {
    const uint32_t m = mask >> (8 * g) & 0xff;
    const auto packed = hn::TableLookupBytesOr0(hn::Load(kDGroup, lanes + 8 * g),
                                                hn::Load(kDGroup, kShuffles.compress[m]));
    hn::StoreU(packed, kDGroup, out - 8);
    out -= std::popcount(m);
  }
}

HWY_INLINE void load_states(const uint16_t* state, uint8_t (*planes)[kNibbleLanes]) {
  for (size_t i = 0; i < kNibbleLanes; ++i) {
    planes[0][i] = static_cast<uint8_t>(state[i]);
    planes[1][i] = static_cast<uint8_t>(state[i] >> 8);
  }
}

HWY_INLINE void store_states(const uint8_t (*planes)[kNibbleLanes], uint16_t* state) {
  for (size_t i = 0; i < kNibbleLanes; ++i) {
    state[i] = static_cast<uint16_t>(planes[0][i] | planes[1][i] << 8);
  }
}

// The entry of each slot: how many entries begin at or below it, less one.
class SlotSearch {
 public:
  explicit SlotSearch(const NibbleDecodeTable& t) : count_(t.entries) {
    for (uint32_t i = 1; i < count_; ++i) {
      const auto below = static_cast<int8_t>((t.first_slot[i] - 1) ^ 0x80);
      hn::Store(hn::Set(kDS8, below), kDS8, below_[i]);
    }
  }
  HWY_INLINE V8 operator()(V8 slot) const {
    const auto biased = hn::BitCast(kDS8, hn::Xor(slot, hn::Set(kD8, 0x80)));
    auto entry = hn::Zero(kDS8);
    for (uint32_t i = 1; i < count_; ++i) {
      entry = hn::Sub(entry, hn::VecFromMask(kDS8, hn::Gt(biased, hn::Load(kDS8, below_[i]))));
    }
    return hn::BitCast(kD8, entry);
  }

 private:
  HWY_ALIGN int8_t below_[kNibbleEntries][kWidth];
  uint32_t count_;
};

struct DecodeConstants {
  SlotSearch entry;
  V8 frequency, first_slot, symbol, escape;
};

// Decodes one symbol in each lane of (low, high); the entries go to `entry`.
HWY_INLINE V8 decode_vector(const DecodeConstants& t, V8& low, V8& high, const uint8_t*& in) {
  const V8 entry = t.entry(low);
  const V16 f = words(hn::TableLookupBytes(t.frequency, entry));
  const V16 rest = words(hn::Sub(low, hn::TableLookupBytes(t.first_slot, entry)));
  const V16 h = words(high);
  const V16 even =
      hn::Add(hn::Mul(hn::And(f, low_mask()), hn::And(h, low_mask())), hn::And(rest, low_mask()));
  const V16 odd =
      hn::Add(hn::Mul(hn::ShiftRight<8>(f), hn::ShiftRight<8>(h)), hn::ShiftRight<8>(rest));
  const V8 new_low = low_bytes(even, odd), new_high = high_bytes(even, odd);
  const auto renew = hn::Eq(new_high, hn::Zero(kD8));
  high = hn::IfThenElse(renew, new_low, new_high);
  low = hn::IfThenElse(renew, expand_bytes(kD8, mask_bits(renew), in), new_low);
  return entry;
}

// Puts the next escapes at the symbols of the mask; false when they run out.
HWY_INLINE bool fill_escapes(uint32_t mask, NibbleDecoder& d, uint8_t* out) {
  for (; mask != 0; mask &= mask - 1) {
    if (d.escapes == d.escapes_end) return false;
    out[std::countr_zero(mask)] = *d.escapes++;
  }
  return true;
}

// Decodes whole steps while the stream is long enough; returns the number of symbols done, or
// SIZE_MAX when the escapes have run out.
size_t decode_steps(const NibbleDecodeTable& table, NibbleDecoder& d, uint8_t* out, size_t n) {
  const DecodeConstants t{SlotSearch(table), hn::LoadDup128(kD8, table.frequency.data()),
                          hn::LoadDup128(kD8, table.first_slot.data()),
                          hn::LoadDup128(kD8, table.symbol.data()),
                          hn::Set(kD8, static_cast<uint8_t>(table.escape))};
  HWY_ALIGN uint8_t planes[2][kNibbleLanes];
  load_states(d.state.data(), planes);
  V8 low[kVectors], high[kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    low[v] = hn::Load(kD8, planes[0] + v * kWidth);
    high[v] = hn::Load(kD8, planes[1] + v * kWidth);
  }
  const uint8_t* in = d.in;
  size_t i = 0;
  for (; i + kNibbleLanes <= n; i += kNibbleLanes) {
    if (d.in_end - in < static_cast<ptrdiff_t>(kNibbleLanes)) break;
    for (size_t v = 0; v < kVectors; ++v) {
      uint8_t* to = out + i + v * kWidth;
      const V8 entry = decode_vector(t, low[v], high[v], in);
      hn::StoreU(hn::TableLookupBytes(t.symbol, entry), kD8, to);
      if (table.escape == 255) continue;
      if (!fill_escapes(mask_bits(hn::Eq(entry, t.escape)), d, to)) return SIZE_MAX;
    }
  }
  d.in = in;
  for (size_t v = 0; v < kVectors; ++v) {
    hn::Store(low[v], kD8, planes[0] + v * kWidth);
    hn::Store(high[v], kD8, planes[1] + v * kWidth);
  }
  store_states(planes, d.state.data());
  return i;
}

struct EncodeConstants {
  HWY_ALIGN uint8_t symbol[kNibbleEntries][kWidth];
  uint32_t direct;
  V8 escape, frequency, bias, plus, reciprocal_low, reciprocal_high, power;

  explicit EncodeConstants(const NibbleEncodeTable& t)
      : direct(t.direct),
        escape(hn::Set(kD8, static_cast<uint8_t>(t.escape))),
        frequency(hn::LoadDup128(kD8, t.frequency.data())),
        bias(hn::LoadDup128(kD8, t.bias.data())),
        plus(hn::LoadDup128(kD8, t.plus.data())) {
    HWY_ALIGN uint8_t low[16], high[16], p[16];
    for (uint32_t i = 0; i < kNibbleEntries; ++i) {
      hn::Store(hn::Set(kD8, t.symbol[i]), kD8, symbol[i]);
      low[i] = static_cast<uint8_t>(t.reciprocal[i]);
      high[i] = static_cast<uint8_t>(t.reciprocal[i] >> 8);
      p[i] = static_cast<uint8_t>(128 >> t.shift[i]);
    }
    reciprocal_low = hn::LoadDup128(kD8, low);
    reciprocal_high = hn::LoadDup128(kD8, high);
    power = hn::LoadDup128(kD8, p);
  }

  HWY_INLINE V8 entry(V8 symbols) const {
    V8 e = escape;
    for (uint32_t i = 0; i < direct; ++i) {
      e = hn::IfThenElse(hn::Eq(symbols, hn::Load(kD8, symbol[i])),
                         hn::Set(kD8, static_cast<uint8_t>(i)), e);
    }
    return e;
  }
};

// x / f by a multiplication; the shift right by s is one to the left and a product with 2^(15 - s).
HWY_INLINE V16 quotient(V16 x, V16 reciprocal, V16 power) {
  return hn::MulHigh(hn::ShiftLeft<1>(hn::MulHigh(x, reciprocal)), power);
}

HWY_INLINE void encode_vector(const EncodeConstants& t, V8 entry, V8& low, V8& high,
                              uint8_t*& out) {
  const V8 f = hn::TableLookupBytes(t.frequency, entry);
  const auto full = hn::Eq(hn::Max(high, f), high);
  push_bytes(low, mask_bits(full), out);
  low = hn::IfThenElse(full, high, low);
  high = hn::IfThenZeroElse(full, high);
  const V8 r_low = hn::TableLookupBytes(t.reciprocal_low, entry);
  const V8 r_high = hn::TableLookupBytes(t.reciprocal_high, entry);
  const V16 power = words(hn::TableLookupBytes(t.power, entry));
  const V16 q_even =
      quotient(even_words(low, high), even_words(r_low, r_high), hn::ShiftLeft<8>(power));
  const V16 q_odd =
      quotient(odd_words(low, high), odd_words(r_low, r_high), hn::AndNot(low_mask(), power));
  const V8 qf = low_bytes(hn::Mul(q_even, words(f)), hn::Mul(q_odd, hn::ShiftRight<8>(words(f))));
  low = hn::Sub(hn::Add(low, hn::TableLookupBytes(t.bias, entry)), qf);
  high = hn::Add(low_bytes(q_even, q_odd), hn::TableLookupBytes(t.plus, entry));
}

// The symbols of the mask just below `escapes`.
HWY_INLINE void push_escapes(uint32_t mask, const uint8_t* symbols, uint8_t*& escapes) {
  for (; mask != 0; mask ^= std::bit_floor(mask)) *--escapes = symbols[std::bit_width(mask) - 1];
}

// Encodes the last of n symbols, a multiple of kNibbleLanes; returns how many are left.
size_t encode_steps(const NibbleEncodeTable& table, NibbleEncoder& e, const uint8_t* symbols,
                    size_t n) {
  const EncodeConstants t(table);
  HWY_ALIGN uint8_t planes[2][kNibbleLanes];
  load_states(e.state.data(), planes);
  V8 low[kVectors], high[kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    low[v] = hn::Load(kD8, planes[0] + v * kWidth);
    high[v] = hn::Load(kD8, planes[1] + v * kWidth);
  }
  uint8_t* out = e.out;
  for (size_t i = n; i > 0; i -= kNibbleLanes) {
    for (size_t v = kVectors; v-- > 0;) {
      const uint8_t* from = symbols + i - kNibbleLanes + v * kWidth;
      const V8 entry = t.entry(hn::LoadU(kD8, from));
      encode_vector(t, entry, low[v], high[v], out);
      if (table.escape == 255) continue;
      push_escapes(mask_bits(hn::Eq(entry, t.escape)), from, e.escapes);
    }
  }
  e.out = out;
  for (size_t v = 0; v < kVectors; ++v) {
    hn::Store(low[v], kD8, planes[0] + v * kWidth);
    hn::Store(high[v], kD8, planes[1] + v * kWidth);
  }
  store_states(planes, e.state.data());
  return 0;
}

}  // namespace pith::entropy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
