// A checkpoint against its predecessor (S233's context, S259's setting), decoding side and format.
//
// Floats are first mapped to integers in the order of their values, so that a small step is a small
// difference even across zero or a power of two. The context of an element (delta_context.h) says
// how many low bits of its difference are noise; those are stored as they are, the symbol above
// them is entropy-coded.

#include "delta.h"

#include <cstdlib>

#include "stream.h"

namespace pith::lossless {
namespace {

DeltaModel read_model(ByteReader& in) {
  const DTypeInfo* type = find_dtype(in.u8());
  if (!type || element_type(type->dtype) != type->dtype) in.bad("differences of an unknown type");
  DeltaModel m;
  m.shape = shape_of(type->dtype);
  const uint64_t top = in.varint();
  if (top > static_cast<uint64_t>(m.shape.exponent_mask)) in.bad("an exponent out of range");
  m.top = static_cast<int>(top);
  decode_stream(in, m.shift);
  for (size_t c = 0; c < kDeltaContexts; ++c) {
    m.whole[c] = m.shift[c] >> 7;
    m.shift[c] &= 0x7F;
    if (m.shift[c] > last_shift(m.shape.width) || (m.whole[c] && !m.shape.is_float)) {
      in.bad("a context of differences that cannot be");
    }
  }
  return m;
}

// Where the symbols of each context end.
using Ends = std::array<const uint8_t*, kDeltaContexts>;

// Contexts of one table are one stream, in the order of their numbers.
Ends read_symbols(ByteReader& in, uint64_t n, DeltaSource& source) {
  thread_local Bytes symbols;
  if (symbols.size() < 2 * n + kDeltaPad) symbols.resize(2 * n + kDeltaPad);
  std::array<uint8_t, kDeltaContexts> table;
  decode_stream(in, table);
  std::array<uint64_t, kDeltaContexts> count;
  uint64_t total = 0;
  for (uint64_t& c : count) {
    c = in.varint();
    if (c > n - total) in.bad("more differences than elements");
    total += c;
  }
  if (total != n) in.bad("fewer differences than elements");
  Ends ends;
  uint8_t* at = symbols.data();
  for (uint8_t t = 0; t < kDeltaContexts; ++t) {
    uint8_t* const first = at;
    for (size_t c = 0; c < kDeltaContexts; ++c) {
      if (table[c] != t) continue;
      source.next[c] = at;
      at += count[c];
      ends[c] = at;
    }
    if (at != first) decode_stream(in, {first, at});
  }
  if (at != symbols.data() + n) in.bad("a context of differences that cannot be");
  return ends;
}

void read_low_bits(ByteReader& in, LowBitReader& low) {
  thread_local Bytes padded;
  const ByteView bytes = in.bytes(in.varint());
  padded.assign(bytes.begin(), bytes.end());
  padded.resize(bytes.size() + kDeltaPad);
  low = {padded.data(), 8 * bytes.size(), 0};
}

// The element that is so far below the ceiling.
template <class U>
U element_below(U ceiling, uint64_t distance, bool other_sign, U base) {
  const U magnitude = static_cast<U>(ceiling - distance) & magnitude_mask<U>();
  const U sign = static_cast<U>(base & ~magnitude_mask<U>());
  return static_cast<U>(magnitude |
                        (other_sign ? sign ^ static_cast<U>(~magnitude_mask<U>()) : sign));
}

template <class U>
bool decode_elements(const DeltaModel& m, ByteView base, size_t first, DeltaSource& from,
                     MutableByteView raw) {
  const U ceiling = m.ceiling<U>();
  for (size_t i = first; i < raw.size() / sizeof(U); ++i) {
    const U b = load_le<U>(base.data() + i * sizeof(U));
    const size_t c = m.shape.context(b, m.top);
    const auto symbol = static_cast<int8_t>(*from.next[c]++);
    const int shift = m.shift[c];
    U v;
    if (symbol == kEscape) [[unlikely]] {
      if (from.escapes == from.escapes_end) return false;
      v = load_le<U>(from.escapes);
      from.escapes += sizeof(U);
    } else if (m.whole[c]) {
      const auto distance =
          static_cast<uint64_t>(int64_t{std::abs(symbol)} - 1) << shift | from.low.take(shift);
      v = element_below(ceiling, distance, symbol < 0, b);
    } else {
      const auto d = static_cast<uint64_t>(int64_t{symbol}) << shift | from.low.take(shift);
      v = apply_difference<U>(static_cast<std::make_signed_t<U>>(d), b, m.shape.is_float);
    }
    store_le(raw.data() + i * sizeof(U), v);
  }
  return true;
}

bool decode_elements(const DeltaModel& m, ByteView base, DeltaSource& from, MutableByteView raw) {
  size_t done = 0;
  if (!delta_decode_vectors(m, base, from, raw, done)) return false;
  switch (m.shape.width) {
    case 1:
      return decode_elements<uint8_t>(m, base, done, from, raw);
    case 2:
      return decode_elements<uint16_t>(m, base, done, from, raw);
    case 4:
      return decode_elements<uint32_t>(m, base, done, from, raw);
    default:
      return decode_elements<uint64_t>(m, base, done, from, raw);
  }
}

}  // namespace

void decode_delta(ByteReader& in, ByteView base, MutableByteView raw) {
  const DeltaModel m = read_model(in);
  const auto width = static_cast<uint64_t>(m.shape.width);
  if (raw.size() % width != 0) in.bad("differences do not fill the block");
  DeltaSource source;
  const Ends ends = read_symbols(in, raw.size() / width, source);
  read_low_bits(in, source.low);
  const ByteView escapes = in.bytes(in.count(width) * width);
  source.escapes = escapes.data();
  source.escapes_end = escapes.data() + escapes.size();
  if (!decode_elements(m, base, source, raw)) in.bad("fewer escapes than differences use");
  if (source.next != ends) in.bad("a context with another number of differences than elements");
  if (!source.low.used_up() || source.escapes != source.escapes_end) {
    in.bad("differences with other low bits than they use");
  }
}

}  // namespace pith::lossless
