// Delta coding, encoding side: fits the model to a sample and writes.

#include <cmath>

#include "delta.h"
#include "pith/entropy/histogram.h"
#include "slices.h"
#include "stream.h"

namespace pith::lossless {
namespace {

// Symbols to a standard deviation of the difference, at least: more cost larger tables, fewer store
// bits as noise that are not quite.
constexpr double kResolution = 7;
// The model is fitted to one element in eight, but to so many, in runs from all over the block.
constexpr size_t kFewest = 4096, kMost = 8192, kRun = 64;
// Elements that are coded in one go: their symbols stay in the cache.
constexpr size_t kChunk = 4096;
// What a table costs, in bits: so many, and so many for each symbol used.
constexpr double kTable = 100, kTableSymbol = 4;
// Symbols to an octave where elements are coded themselves: 127 symbols reach over 16 octaves.
constexpr int kOctaveBits = 3;

template <class U>
struct Sample {
  std::vector<U> value, base;
};

template <class U>
Sample<U> take_sample(ByteView raw, ByteView base) {
  const size_t n = raw.size() / sizeof(U), some = std::clamp(n / 8, kFewest, kMost);
  const size_t length = n <= some ? n : kRun, count = n <= some ? 1 : some / kRun;
  Sample<U> s;
  for (size_t i = 0; i < count; ++i) {
    // Anywhere in its part of the block, so that runs do not all meet the same columns of a matrix.
    const size_t part = n / count, slack = part - length + 1;
    const size_t first = i * part + static_cast<size_t>(i * 0x9E3779B97F4A7C15u >> 32) % slack;
    for (size_t j = first; j < first + length; ++j) {
      s.value.push_back(load_le<U>(raw.data() + j * sizeof(U)));
      s.base.push_back(load_le<U>(base.data() + j * sizeof(U)));
    }
  }
  return s;
}

// The largest exponent that at least one base element in 1024 reaches, so that an outlier does not
// use up contexts.
template <class U>
int top_exponent(const std::vector<U>& base, const ElementShape& shape) {
  if (!shape.is_float) return 0;
  std::vector<uint32_t> counts(static_cast<size_t>(shape.exponent_mask) + 1);
  for (const U b : base) ++counts[static_cast<size_t>(shape.exponent(b))];
  uint64_t above = 0;
  int top = shape.exponent_mask;
  while (top > 0 && (above += counts[static_cast<size_t>(top)]) * 1024 < base.size()) --top;
  return top;
}

// The symbol of an element, and its low bits below that.
struct Code {
  int symbol;
  uint64_t low;
};

template <class U>
Code code_move(U value, U base, int shift, bool is_float) {
  const auto d = difference(value, base, is_float);
  const auto q = static_cast<int64_t>(d) >> shift;
  return {q > 127 || q < -127 ? kEscape : static_cast<int>(q), static_cast<uint64_t>(d)};
}

template <class U>
Code code_whole(U value, U base, int shift, U ceiling) {
  const auto distance =
      static_cast<int64_t>(ceiling) - static_cast<int64_t>(value & magnitude_mask<U>());
  const int64_t below = (distance >> shift) + 1;
  if (below < 1 || below > 127) return {kEscape, 0};
  return {static_cast<int>(opposite(value, base) ? -below : below),
          static_cast<uint64_t>(distance)};
}

// Bits of all symbols that the counts of a sample stand for, with their table.
double cost_of(const entropy::Histogram& counts, double scale = 1) {
  uint32_t total = 0;
  int used = 0;
  double sum = 0;
  for (const uint32_t c : counts) {
    if (c == 0) continue;
    total += c;
    ++used;
    sum += static_cast<double>(c) * entropy::log2_q16(c);
  }
  const double bits = (static_cast<double>(total) * entropy::log2_q16(total) - sum) / 65536;
  return scale * bits + kTable + kTableSymbol * used;
}

template <class U>
DeltaModel fit(ByteView raw, ByteView base, const ElementShape& shape) {
  const Sample<U> sample = take_sample<U>(raw, base);
  DeltaModel m;
  m.shape = shape;
  m.top = top_exponent(sample.base, shape);
  const size_t n = sample.base.size();
  Bytes context(n);
  std::array<double, kDeltaContexts> sum{}, count{};
  for (size_t i = 0; i < n; ++i) {
    const size_t c = shape.context(sample.base[i], m.top);
    context[i] = static_cast<uint8_t>(c);
    sum[c] +=
        std::abs(static_cast<double>(difference(sample.value[i], sample.base[i], shape.is_float)));
    count[c] += 1;
  }
  for (size_t c = 0; c < kDeltaContexts; ++c) {
    const double deviation = count[c] > 0 ? 1.2533 * sum[c] / count[c] : 0;  // of a Gaussian
    const int octaves =
        static_cast<int>(std::floor(std::log2(std::max(1.0, deviation / kResolution))));
    m.shift[c] = static_cast<uint8_t>(std::clamp(octaves, 0, last_shift(shape.width)));
  }
  const int whole_shift =
      std::clamp(shape.exponent_shift - kOctaveBits, 0, last_shift(shape.width));
  const U ceiling = m.ceiling<U>();
  std::array<entropy::Histogram, kDeltaContexts> moves{}, wholes{};
  for (size_t i = 0; i < n; ++i) {
    const size_t c = context[i];
    const U v = sample.value[i], b = sample.base[i];
    ++moves[c][static_cast<uint8_t>(code_move(v, b, m.shift[c], shape.is_float).symbol)];
    ++wholes[c][static_cast<uint8_t>(code_whole(v, b, whole_shift, ceiling).symbol)];
  }
  const size_t elements = raw.size() / sizeof(U);
  const double scale = static_cast<double>(elements) / static_cast<double>(std::max<size_t>(n, 1));
  for (size_t c = 0; c < kDeltaContexts && shape.is_float; ++c) {
    const auto bits = [&](const entropy::Histogram& h, int shift) {
      const double escapes = h[static_cast<uint8_t>(kEscape)];
      const double low = shift * (count[c] - escapes) + 8 * sizeof(U) * escapes;
      return scale * low + cost_of(h, scale);
    };
    if (bits(wholes[c], whole_shift) >= bits(moves[c], m.shift[c])) continue;
    m.whole[c] = 1;
    m.shift[c] = static_cast<uint8_t>(whole_shift);
  }
  return m;
}

template <class U>
void encode_elements(const DeltaModel& m, ByteView raw, ByteView base, DeltaSink& to) {
  const U ceiling = m.ceiling<U>();
  for (size_t i = delta_encode_vectors(m, raw, base, to); i < raw.size() / sizeof(U); ++i) {
    const U v = load_le<U>(raw.data() + i * sizeof(U)), b = load_le<U>(base.data() + i * sizeof(U));
    const size_t c = m.shape.context(b, m.top);
    const int shift = m.shift[c];
    const Code code =
        m.whole[c] ? code_whole(v, b, shift, ceiling) : code_move(v, b, shift, m.shape.is_float);
    *to.next[c]++ = static_cast<uint8_t>(code.symbol);
    if (code.symbol == kEscape) [[unlikely]] {
      store_le(to.escapes, v);
      to.escapes += sizeof(U);
    } else {
      to.low.put(code.low & ((uint64_t{1} << shift) - 1), shift);
    }
  }
}

// What a block is coded to, kept from block to block so that memory is.
struct Coded {
  std::array<Bytes, kDeltaContexts> symbols;
  Bytes low, escapes;
};

template <class U>
void encode_chunks(const DeltaModel& m, ByteView raw, ByteView base, Coded& coded) {
  thread_local Bytes room;
  constexpr size_t kSymbolRoom = kChunk + kDeltaPad, kWide = kChunk * sizeof(U) + kDeltaPad;
  room.resize(kDeltaContexts * kSymbolRoom + 2 * (kChunk * sizeof(uint64_t) + kDeltaPad));
  uint8_t* const low = room.data() + kDeltaContexts * kSymbolRoom;
  uint8_t* const escapes = low + kWide;
  DeltaSink to;
  for (size_t done = 0; done < raw.size(); done += kChunk * sizeof(U)) {
    const size_t size = std::min(kChunk * sizeof(U), raw.size() - done);
    for (size_t c = 0; c < kDeltaContexts; ++c) to.next[c] = room.data() + c * kSymbolRoom;
    to.low.to = low;
    to.escapes = escapes;
    encode_elements<U>(m, raw.subspan(done, size), base.subspan(done, size), to);
    for (size_t c = 0; c < kDeltaContexts; ++c) {
      const uint8_t* const first = room.data() + c * kSymbolRoom;
      ByteWriter(coded.symbols[c]).bytes({first, to.next[c]});
    }
    ByteWriter(coded.low).bytes({low, to.low.to});
    ByteWriter(coded.escapes).bytes({escapes, to.escapes});
  }
  if (to.low.filled > 0) coded.low.push_back(static_cast<uint8_t>(to.low.word));
}

// Contexts in the order in which neighbours are likely to have symbols of the same distribution.
// Moves have the same in octaves apart, but not in the halves of one; whole elements change slowly.
std::array<uint8_t, kDeltaContexts> order_of(const DeltaModel& m) {
  std::array<uint8_t, kDeltaContexts> order;
  for (uint8_t c = 0; c < kDeltaContexts; ++c) order[c] = c;
  std::ranges::sort(order, {},
                    [&](uint8_t c) { return m.whole[c] ? 1000 + c : 100 * (c % 2) + c; });
  return order;
}

// Counts of all symbols, those of a long context from slices of it.
entropy::Histogram counts_of(ByteView symbols) {
  entropy::Histogram counts;
  constexpr size_t kSlices = 16, kSlice = 512;
  const size_t factor = symbols.size() / (kSlices * kSlice);
  if (factor < 2) {
    entropy::histogram(symbols, counts);
    return counts;
  }
  entropy::histogram(take_slices(symbols, kSlices, kSlice, symbols.size() / kSlices), counts);
  for (uint32_t& c : counts) c *= static_cast<uint32_t>(factor);
  return counts;
}

// The number of each context's table: neighbours share one unless two are smaller.
std::array<uint8_t, kDeltaContexts> share_tables(const DeltaModel& m,
                                                 const std::array<Bytes, kDeltaContexts>& symbols) {
  std::array<uint8_t, kDeltaContexts> table{};
  entropy::Histogram group{};
  double group_cost = 0;
  int tables = 0;
  for (const uint8_t c : order_of(m)) {
    if (!symbols[c].empty()) {
      const entropy::Histogram own = counts_of(symbols[c]);
      entropy::Histogram joint;
      for (size_t s = 0; s < 256; ++s) joint[s] = group[s] + own[s];
      const double alone = cost_of(own), together = cost_of(joint);
      const bool share = tables > 0 && together <= group_cost + alone;
      group = share ? joint : own;
      group_cost = share ? together : alone;
      tables += share ? 0 : 1;
    }
    table[c] = static_cast<uint8_t>(std::max(0, tables - 1));
  }
  return table;
}

void write_symbols(const DeltaModel& m, const std::array<Bytes, kDeltaContexts>& symbols,
                   Level level, Bytes& out) {
  const std::array<uint8_t, kDeltaContexts> table = share_tables(m, symbols);
  encode_plain_stream(table, level, out);
  for (const Bytes& s : symbols) ByteWriter(out).varint(s.size());
  thread_local Bytes joint;
  for (uint8_t t = 0; t < kDeltaContexts; ++t) {
    joint.clear();
    for (size_t c = 0; c < kDeltaContexts; ++c) {
      if (table[c] == t) ByteWriter(joint).bytes(symbols[c]);
    }
    if (!joint.empty()) encode_plain_stream(joint, level, out);
  }
}

template <class U>
void encode_as(ByteView raw, ByteView base, const ElementShape& shape, Level level, Bytes& out) {
  const DeltaModel m = fit<U>(raw, base, shape);
  thread_local Coded coded;
  for (Bytes& symbols : coded.symbols) symbols.clear();
  coded.low.clear();
  coded.escapes.clear();
  encode_chunks<U>(m, raw, base, coded);
  ByteWriter w(out);
  w.varint(static_cast<uint64_t>(m.top));
  std::array<uint8_t, kDeltaContexts> shifts;
  for (size_t c = 0; c < kDeltaContexts; ++c)
    shifts[c] = static_cast<uint8_t>(m.shift[c] | m.whole[c] << 7);
  encode_plain_stream(shifts, level, out);
  write_symbols(m, coded.symbols, level, out);
  w.varint(coded.low.size());
  w.bytes(coded.low);
  w.varint(coded.escapes.size() / sizeof(U));
  w.bytes(coded.escapes);
}

}  // namespace

void encode_delta(ByteView raw, ByteView base, const Content& content, Level level, Bytes& out) {
  out.push_back(static_cast<uint8_t>(element_type(content.dtype)));
  const ElementShape shape = shape_of(content.dtype);
  switch (shape.width) {
    case 1:
      return encode_as<uint8_t>(raw, base, shape, level, out);
    case 2:
      return encode_as<uint16_t>(raw, base, shape, level, out);
    case 4:
      return encode_as<uint32_t>(raw, base, shape, level, out);
    default:
      return encode_as<uint64_t>(raw, base, shape, level, out);
  }
}

}  // namespace pith::lossless
