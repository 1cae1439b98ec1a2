// Delta coding, encoding side: fits the model and writes.

#include <array>
#include <cmath>

#include "delta.h"
#include "pith/entropy/byte_rans.h"
#include "pith/entropy/histogram.h"
#include "stream.h"

namespace pith::lossless {
namespace {

// Symbols to a standard deviation of the difference, at least: more cost larger tables, fewer store bits
// as noise that are not quite.
constexpr double kResolution = 7;

// Writes fields of up to 48 bits one after the other, least significant bits first.
class BitWriter {
 public:
  explicit BitWriter(Bytes& to) : to_(to) {}
  // The caller has reserved room for 8 bytes past the last bit.
  void put(uint64_t value, int bits) {
    word_ |= value << filled_;
    filled_ += bits;
    store_le(to_.data() + at_, word_);
    const int whole = filled_ / 8;
    at_ += static_cast<uint64_t>(whole);
    word_ = whole == 8 ? 0 : word_ >> (8 * whole);
    filled_ %= 8;
  }
  uint64_t finish() const { return at_ + (filled_ > 0); }

 private:
  Bytes& to_;
  uint64_t at_ = 0, word_ = 0;
  int filled_ = 0;
};

template <class S>
int symbol_of(S d, int shift) {
  const S q = static_cast<S>(d >> shift);
  return q > 127 || q < -127 ? kEscape : static_cast<int>(q);
}

// Contexts whose expected sizes are whole octaves apart have symbols of the same distribution: even
// ones first, then odd ones, neighbours share a table unless two are smaller.
void share_tables(const std::array<entropy::Histogram, kDeltaContexts>& histograms, DeltaModel& m) {
  entropy::Histogram group{};
  double group_cost = 0;
  m.tables = 0;
  for (size_t order = 0; order < kDeltaContexts; ++order) {
    const size_t c = order < kDeltaContexts / 2 ? 2 * order : 2 * order - kDeltaContexts + 1;
    uint64_t count = 0;
    entropy::Histogram joint = group;
    for (size_t s = 0; s < 256; ++s) {
      count += histograms[c][s];
      joint[s] += histograms[c][s];
    }
    if (count > 0) {
      const double alone = entropy::byte_rans_cost(histograms[c]), together = entropy::byte_rans_cost(joint);
      if (m.tables > 0 && together <= group_cost + alone) {
        group = joint;
        group_cost = together;
      } else {
        group = histograms[c];
        group_cost = alone;
        ++m.tables;
      }
    }
    m.table[c] = static_cast<uint8_t>(std::max(0, m.tables - 1));
  }
  m.tables = std::max(m.tables, 1);
}

template <class S>
DeltaModel fit(const std::vector<S>& d, const Bytes& context) {
  std::array<double, kDeltaContexts> sum{}, count{};
  for (size_t i = 0; i < d.size(); ++i) {
    sum[context[i]] += std::abs(static_cast<double>(d[i]));
    count[context[i]] += 1;
  }
  DeltaModel m;
  const int most = std::min<int>(kLastShift, 8 * static_cast<int>(sizeof(S)) - 8);
  for (size_t c = 0; c < kDeltaContexts; ++c) {
    const double deviation = count[c] > 0 ? 1.2533 * sum[c] / count[c] : 0;  // of a Gaussian
    const int octaves = static_cast<int>(std::floor(std::log2(std::max(1.0, deviation / kResolution))));
    m.shift[c] = static_cast<uint8_t>(std::clamp(octaves, 0, most));
  }
  std::array<entropy::Histogram, kDeltaContexts> histograms{};
  for (size_t i = 0; i < d.size(); ++i) {
    ++histograms[context[i]][static_cast<uint8_t>(symbol_of(d[i], m.shift[context[i]]))];
  }
  share_tables(histograms, m);
  return m;
}

template <class S>
void write(const std::vector<S>& d, const Bytes& context, const DeltaModel& m, Level level, Bytes& out) {
  const uint64_t n = d.size();
  std::array<uint64_t, kDeltaContexts> sizes{};
  uint64_t low_bits = 0;
  for (uint64_t i = 0; i < n; ++i) {
    ++sizes[m.table[context[i]]];
    low_bits += m.shift[context[i]];
  }
  Bytes symbols(n), low(low_bits / 8 + 16), escapes;
  std::array<uint8_t*, kDeltaContexts> next{};
  uint64_t at = 0;
  for (size_t t = 0; t < static_cast<size_t>(m.tables); at += sizes[t++]) next[t] = symbols.data() + at;
  BitWriter bits(low);
  for (uint64_t i = 0; i < n; ++i) {
    const int shift = m.shift[context[i]];
    const int symbol = symbol_of(d[i], shift);
    *next[m.table[context[i]]]++ = static_cast<uint8_t>(symbol);
    if (symbol == kEscape) [[unlikely]] {
      ByteWriter(escapes).bytes({reinterpret_cast<const uint8_t*>(&d[i]), sizeof(S)});
    } else {
      bits.put(static_cast<uint64_t>(d[i]) & ((uint64_t{1} << shift) - 1), shift);
    }
  }
  ByteWriter w(out);
  at = 0;
  for (size_t t = 0; t < static_cast<size_t>(m.tables); at += sizes[t++]) {
    w.varint(sizes[t]);
    encode_stream(ByteView(symbols).subspan(at, sizes[t]), level, out);
  }
  w.varint(bits.finish());
  w.bytes(ByteView(low).first(bits.finish()));
  w.varint(escapes.size() / sizeof(S));
  w.bytes(escapes);
}

template <class U>
void encode_as(ByteView raw, ByteView base, const ElementShape& shape, Level level, Bytes& out) {
  const uint64_t n = raw.size() / sizeof(U);
  const Bytes contexts = context_table(shape, top_exponent<U>(base, shape));
  std::vector<std::make_signed_t<U>> d(n);
  Bytes context(n);
  for (uint64_t i = 0; i < n; ++i) {
    const U b = load_le<U>(base.data() + i * sizeof(U));
    d[i] = difference(load_le<U>(raw.data() + i * sizeof(U)), b, shape.is_float);
    context[i] = contexts[shape.half_octave(b)];
  }
  const DeltaModel m = fit(d, context);
  encode_plain_stream(m.shift, level, out);
  encode_plain_stream(m.table, level, out);
  write(d, context, m, level, out);
}

}  // namespace

void encode_delta(ByteView raw, ByteView base, const Content& content, Level level, Bytes& out) {
  out.push_back(static_cast<uint8_t>(element_type(content.dtype)));
  const ElementShape shape = shape_of(content.dtype);
  switch (shape.width) {
    case 1: return encode_as<uint8_t>(raw, base, shape, level, out);
    case 2: return encode_as<uint16_t>(raw, base, shape, level, out);
    case 4: return encode_as<uint32_t>(raw, base, shape, level, out);
    default: return encode_as<uint64_t>(raw, base, shape, level, out);
  }
}

}  // namespace pith::lossless
