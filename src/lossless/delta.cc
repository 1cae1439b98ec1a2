// A checkpoint against its predecessor (S233's context, S259's setting): each element is coded as the
// difference to the base's element, in the context of the base's exponent.
//
// Floats are first mapped to integers in the order of their values, so that a small step is a small
// difference even across zero or a power of two. An optimizer moves all the weights of a tensor by steps of about
// the same size, whatever the weight; in units of the last place that is a spread which halves
// with each exponent. So the base's exponent says how many low bits of the difference are noise:
// those are stored as they are, the rest is entropy-coded, contexts of like shape sharing a table.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "block.h"
#include "pith/entropy/byte_rans.h"
#include "pith/entropy/histogram.h"
#include "stream.h"

namespace pith::lossless {
namespace {

constexpr int kContexts = 16;
constexpr int kEscape = -128;  // a symbol: the difference follows whole in the escapes

// What the contexts are made of: the exponent field of a float; integers have one context.
struct Shape {
  int width, exponent_shift, exponent_mask;
  bool is_float;
};

Shape shape_of(DType dtype) {
  const DTypeInfo& t = info(element_type(dtype));
  Shape s{static_cast<int>(t.block_bytes), 0, 0, t.kind == NumberKind::kFloat};
  if (s.is_float) {
    s.exponent_shift = t.mantissa_bits;
    s.exponent_mask = (1 << t.exponent_bits) - 1;
  }
  return s;
}

// Sign-magnitude to two's complement, which orders floats by value (both zeros stay distinct); its
// own inverse. Integers are ordered already.
template <class U>
U ordered(U v, bool is_float) {
  constexpr U kSign = static_cast<U>(U{1} << (8 * sizeof(U) - 1));
  return is_float && (v & kSign) ? static_cast<U>(~(v ^ kSign)) : v;
}

// The base's context of every element, and the exponent that context 0 stands for: the largest one
// that at least one element in 1024 reaches, so that an outlier does not waste contexts.
struct Contexts {
  Shape shape;
  int top = 0;

  template <class U>
  int exponent(U v) const {
    return static_cast<int>(v >> shape.exponent_shift) & shape.exponent_mask;
  }
  template <class U>
  int of(U base) const {
    return shape.is_float ? std::clamp(top - exponent(base), 0, kContexts - 1) : 0;
  }
};

template <class U>
Contexts contexts_of(ByteView base, const Shape& shape) {
  Contexts c{shape};
  if (!shape.is_float) return c;
  std::vector<uint32_t> counts(static_cast<size_t>(shape.exponent_mask) + 1);
  const uint64_t n = base.size() / sizeof(U);
  for (uint64_t i = 0; i < n; ++i) ++counts[static_cast<size_t>(c.exponent(load_le<U>(base.data() + i * sizeof(U))))];
  uint64_t above = 0;
  c.top = shape.exponent_mask;
  while (c.top > 0 && (above += counts[static_cast<size_t>(c.top)]) * 1024 < n) --c.top;
  return c;
}

// Difference that grows with the magnitude of the base, wrapped to the element's width.
template <class U>
std::make_signed_t<U> difference(U value, U base, bool is_float) {
  using S = std::make_signed_t<U>;
  const U d = static_cast<U>(ordered(value, is_float) - ordered(base, is_float));
  return static_cast<S>(is_float && static_cast<S>(base) < 0 ? static_cast<U>(U{0} - d) : d);
}

template <class U>
U undo(std::make_signed_t<U> d, U base, bool is_float) {
  using S = std::make_signed_t<U>;
  const U up = is_float && static_cast<S>(base) < 0 ? static_cast<U>(U{0} - static_cast<U>(d)) : static_cast<U>(d);
  return ordered(static_cast<U>(up + ordered(base, is_float)), is_float);
}

struct Model {
  std::array<uint8_t, kContexts> shift{};  // low bits stored as they are
  std::array<uint8_t, kContexts> table{};  // the stream that a context's symbols go to
  int tables = 1;
};

template <class S>
int symbol_of(S d, int shift) {
  const S q = static_cast<S>(d >> shift);
  return q > 127 || q < -127 ? kEscape : static_cast<int>(q);
}

// Writes fields of up to 56 bits one after the other, least significant bits first.
class BitWriter {
 public:
  void put(uint64_t value, int bits) {
    word_ |= value << filled_;
    filled_ += bits;
    while (filled_ >= 8) {
      bytes_.push_back(static_cast<uint8_t>(word_));
      word_ >>= 8;
      filled_ -= 8;
    }
  }
  const Bytes& finish() {
    if (filled_ > 0) bytes_.push_back(static_cast<uint8_t>(word_));
    return bytes_;
  }

 private:
  Bytes bytes_;
  uint64_t word_ = 0;
  int filled_ = 0;
};

constexpr int kLastShift = 48;

// Shifts that leave about `resolution` symbols to a standard deviation of each context, and one
// table for contexts next to each other whenever two would cost more.
template <class U>
Model fit(const std::vector<std::make_signed_t<U>>& d, const Bytes& context, double resolution) {
  Model m;
  std::array<double, kContexts> sum{}, count{};
  for (size_t i = 0; i < d.size(); ++i) {
    sum[context[i]] += std::abs(static_cast<double>(d[i]));
    count[context[i]] += 1;
  }
  std::array<entropy::Histogram, kContexts> histogram{};
  for (size_t c = 0; c < kContexts; ++c) {
    const double deviation = count[c] > 0 ? 1.25 * sum[c] / count[c] : 0;  // of a Gaussian
    m.shift[c] = static_cast<uint8_t>(
        std::clamp(static_cast<int>(std::floor(std::log2(std::max(1.0, deviation / resolution)))), 0,
                   std::min<int>(kLastShift, 8 * static_cast<int>(sizeof(U)) - 8)));
  }
  for (size_t i = 0; i < d.size(); ++i) {
    ++histogram[context[i]][static_cast<uint8_t>(symbol_of(d[i], m.shift[context[i]]))];
  }
  entropy::Histogram group = histogram[0];
  double group_cost = entropy::byte_rans_cost(group);
  m.tables = 1;
  for (size_t c = 1; c < kContexts; ++c) {
    const double alone = entropy::byte_rans_cost(histogram[c]);
    entropy::Histogram joint = group;
    for (size_t s = 0; s < 256; ++s) joint[s] += histogram[c][s];
    const double together = entropy::byte_rans_cost(joint);
    if (count[c] == 0 || together <= group_cost + alone) {
      group = joint;
      group_cost = together;
    } else {
      group = histogram[c];
      group_cost = alone;
      ++m.tables;
    }
    m.table[c] = static_cast<uint8_t>(m.tables - 1);
  }
  return m;
}

template <class U>
void encode_as(ByteView raw, ByteView base, const Shape& shape, Level level, Bytes& out) {
  using S = std::make_signed_t<U>;
  const uint64_t n = raw.size() / sizeof(U);
  const Contexts contexts = contexts_of<U>(base, shape);
  std::vector<S> d(n);
  Bytes context(n);
  for (uint64_t i = 0; i < n; ++i) {
    const U b = load_le<U>(base.data() + i * sizeof(U));
    d[i] = difference(load_le<U>(raw.data() + i * sizeof(U)), b, shape.is_float);
    context[i] = static_cast<uint8_t>(contexts.of(b));
  }
  const Model m = fit<U>(d, context, 4.0);
  std::vector<Bytes> symbols(static_cast<size_t>(m.tables));
  for (Bytes& s : symbols) s.reserve(n);
  BitWriter low;
  Bytes escapes;
  for (uint64_t i = 0; i < n; ++i) {
    const int shift = m.shift[context[i]];
    const int symbol = symbol_of(d[i], shift);
    symbols[m.table[context[i]]].push_back(static_cast<uint8_t>(symbol));
    if (symbol == kEscape) {
      ByteWriter(escapes).bytes({reinterpret_cast<const uint8_t*>(&d[i]), sizeof(U)});
    } else {
      low.put(static_cast<uint64_t>(d[i]) & ((uint64_t{1} << shift) - 1), shift);
    }
  }
  ByteWriter w(out);
  for (size_t c = 0; c < kContexts; ++c) {
    w.u8(m.shift[c]);
    w.u8(m.table[c]);
  }
  for (const Bytes& s : symbols) {
    w.varint(s.size());
    encode_stream(s, level, out);
  }
  const Bytes& bits = low.finish();
  w.varint(bits.size());
  w.bytes(bits);
  w.varint(escapes.size() / sizeof(U));
  w.bytes(escapes);
}

template <class U>
void decode_as(ByteReader& in, ByteView base, MutableByteView raw, const Shape& shape) {
  using S = std::make_signed_t<U>;
  const uint64_t n = raw.size() / sizeof(U);
  if (raw.size() % sizeof(U) != 0) in.bad("differences do not fill the block");
  Model m;
  m.tables = 0;
  for (size_t c = 0; c < kContexts; ++c) {
    m.shift[c] = in.u8();
    m.table[c] = in.u8();
    if (m.shift[c] > kLastShift || m.table[c] >= kContexts) in.bad("a context of differences that cannot be");
    m.tables = std::max(m.tables, m.table[c] + 1);
  }
  thread_local std::array<Bytes, kContexts> scratch;
  std::array<const uint8_t*, kContexts> next{}, end{};
  uint64_t total = 0;
  for (size_t t = 0; t < static_cast<size_t>(m.tables); ++t) {
    const uint64_t count = in.varint();
    if (count > n - total) in.bad("more differences than elements");
    total += count;
    const ByteView s = decode_stream_view(in, count, scratch[t]);
    next[t] = s.data();
    end[t] = s.data() + s.size();
  }
  if (total != n) in.bad("fewer differences than elements");
  const ByteView low = in.bytes(in.varint());
  const uint64_t escape_count = in.count(sizeof(U));
  ByteReader escapes(in.bytes(escape_count * sizeof(U)), "escaped differences");
  const Contexts contexts = contexts_of<U>(base, shape);
  const uint64_t bits = 8 * low.size();
  uint64_t at = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const U b = load_le<U>(base.data() + i * sizeof(U));
    const auto c = static_cast<size_t>(contexts.of(b));
    const size_t t = m.table[c];
    if (next[t] == end[t]) in.bad("a context has fewer differences than elements");
    const auto symbol = static_cast<int8_t>(*next[t]++);
    S d;
    if (symbol == kEscape) [[unlikely]] {
      d = load_le<S>(escapes.bytes(sizeof(U)).data());
    } else {
      const int shift = m.shift[c];
      uint64_t word = 0;
      if (at / 8 + 8 <= low.size()) [[likely]] {
        word = load_le<uint64_t>(low.data() + at / 8);
      } else {
        if (at + static_cast<uint64_t>(shift) > bits) in.bad("the low bits of differences end early");
        std::memcpy(&word, low.data() + at / 8, low.size() - at / 8);
      }
      const uint64_t noise = word >> (at % 8) & ((uint64_t{1} << shift) - 1);
      at += static_cast<uint64_t>(shift);
      d = static_cast<S>(static_cast<U>(static_cast<uint64_t>(int64_t{symbol}) << shift | noise));
    }
    store_le(raw.data() + i * sizeof(U), undo<U>(d, b, shape.is_float));
  }
  if ((at + 7) / 8 != low.size() || !escapes.empty()) in.bad("differences with more bits than they use");
}

}  // namespace

void encode_delta(ByteView raw, ByteView base, DType dtype, Level level, Bytes& out) {
  out.push_back(static_cast<uint8_t>(element_type(dtype)));
  const Shape shape = shape_of(dtype);
  switch (shape.width) {
    case 1: return encode_as<uint8_t>(raw, base, shape, level, out);
    case 2: return encode_as<uint16_t>(raw, base, shape, level, out);
    case 4: return encode_as<uint32_t>(raw, base, shape, level, out);
    default: return encode_as<uint64_t>(raw, base, shape, level, out);
  }
}

void decode_delta(ByteReader& in, ByteView base, MutableByteView raw) {
  const DTypeInfo* type = find_dtype(in.u8());
  if (!type || element_type(type->dtype) != type->dtype) in.bad("differences of an unknown type");
  const Shape shape = shape_of(type->dtype);
  switch (shape.width) {
    case 1: return decode_as<uint8_t>(in, base, raw, shape);
    case 2: return decode_as<uint16_t>(in, base, raw, shape);
    case 4: return decode_as<uint32_t>(in, base, raw, shape);
    default: return decode_as<uint64_t>(in, base, raw, shape);
  }
}

}  // namespace pith::lossless
