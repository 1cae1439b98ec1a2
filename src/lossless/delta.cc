// A checkpoint against its predecessor (S233's context, S259's setting), decoding side and format.
//
// Floats are first mapped to integers in the order of their values, so that a small step is a small
// difference even across zero or a power of two. The context of an element (delta_context.h) says how many low
// bits of its difference are noise; those are stored as they are, the symbol above them is entropy-coded.

#include "delta.h"

#include <array>

#include "stream.h"

namespace pith::lossless {
namespace {

struct Streams {
  std::array<const uint8_t*, kDeltaContexts> next{}, end{};
};

DeltaModel read_model(ByteReader& in) {
  DeltaModel m;
  decode_stream(in, m.shift);
  decode_stream(in, m.table);
  for (size_t c = 0; c < kDeltaContexts; ++c) {
    if (m.shift[c] > kLastShift || m.table[c] >= kDeltaContexts) in.bad("a context of differences that cannot be");
    m.tables = std::max(m.tables, m.table[c] + 1);
  }
  return m;
}

Streams read_streams(ByteReader& in, int tables, uint64_t n) {
  thread_local std::array<Bytes, kDeltaContexts> scratch;
  Streams s;
  uint64_t total = 0;
  for (size_t t = 0; t < static_cast<size_t>(tables); ++t) {
    const uint64_t count = in.varint();
    if (count > n - total) in.bad("more differences than elements");
    total += count;
    const ByteView symbols = decode_stream_view(in, count, scratch[t]);
    s.next[t] = symbols.data();
    s.end[t] = symbols.data() + symbols.size();
  }
  if (total != n) in.bad("fewer differences than elements");
  return s;
}

// Low bits with room to load a whole word at any of their bits.
class LowBits {
 public:
  explicit LowBits(ByteView bytes) : bits_(8 * bytes.size()), padded_(bytes.begin(), bytes.end()) {
    padded_.resize(bytes.size() + 16);
  }
  // Past the end these are zeros, which finish() finds out.
  uint64_t take(int n) {
    const uint64_t word = load_le<uint64_t>(padded_.data() + std::min(at_, bits_) / 8);
    const uint64_t value = word >> (at_ % 8) & ((uint64_t{1} << n) - 1);
    at_ += static_cast<uint64_t>(n);
    return value;
  }
  bool used_up() const { return (at_ + 7) / 8 * 8 == bits_; }

 private:
  uint64_t bits_, at_ = 0;
  Bytes padded_;
};

template <class U>
void decode_as(ByteReader& in, ByteView base, MutableByteView raw, const ElementShape& shape) {
  using S = std::make_signed_t<U>;
  const uint64_t n = raw.size() / sizeof(U);
  if (raw.size() % sizeof(U) != 0) in.bad("differences do not fill the block");
  const DeltaModel m = read_model(in);
  Streams streams = read_streams(in, m.tables, n);
  LowBits low(in.bytes(in.varint()));
  const uint64_t escape_count = in.count(sizeof(U));
  ByteReader escapes(in.bytes(escape_count * sizeof(U)), "escaped differences");
  const Bytes contexts = context_table(shape, top_exponent<U>(base, shape));
  for (uint64_t i = 0; i < n; ++i) {
    const U b = load_le<U>(base.data() + i * sizeof(U));
    const size_t c = contexts[shape.half_octave(b)], t = m.table[c];
    if (streams.next[t] == streams.end[t]) [[unlikely]] in.bad("a context has fewer differences than elements");
    const auto symbol = static_cast<int8_t>(*streams.next[t]++);
    S d;
    if (symbol == kEscape) [[unlikely]] {
      d = load_le<S>(escapes.bytes(sizeof(U)).data());
    } else {
      const int shift = m.shift[c];
      d = static_cast<S>(static_cast<uint64_t>(int64_t{symbol}) << shift | low.take(shift));
    }
    store_le(raw.data() + i * sizeof(U), apply_difference<U>(d, b, shape.is_float));
  }
  if (!low.used_up() || !escapes.empty()) in.bad("differences with other low bits than they use");
}

}  // namespace

void decode_delta(ByteReader& in, ByteView base, MutableByteView raw) {
  const DTypeInfo* type = find_dtype(in.u8());
  if (!type || element_type(type->dtype) != type->dtype) in.bad("differences of an unknown type");
  const ElementShape shape = shape_of(type->dtype);
  switch (shape.width) {
    case 1: return decode_as<uint8_t>(in, base, raw, shape);
    case 2: return decode_as<uint16_t>(in, base, raw, shape);
    case 4: return decode_as<uint32_t>(in, base, raw, shape);
    default: return decode_as<uint64_t>(in, base, raw, shape);
  }
}

}  // namespace pith::lossless
