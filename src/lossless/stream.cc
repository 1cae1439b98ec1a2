#include "stream.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "block.h"
#include "classes.h"
#include "pith/entropy/byte_rans.h"
#include "pith/entropy/histogram.h"
#include "pith/entropy/nibble_rans.h"
#include "repeats.h"
#include "slices.h"
#include "zstd_frame.h"

namespace pith::lossless {
namespace {

// Bytes of a stream that decide how it is coded.
constexpr uint64_t kSampleSlices = 32, kSliceBytes = 256;
// Half of the sample is enough to see repeats, and zstd is the slowest of the estimates.
constexpr uint64_t kRepeatSlices = 2;
// Coding that saves less than this share is not worth its decoding time.
constexpr double kLeastGain = 0.004;
// Unevenness from which classes are tried, with and without a check of what they gain.
constexpr double kUneven = 2, kVeryUneven = 6;
// Nibble rANS decodes four times as fast as byte rANS, and may cost this much more.
constexpr double kNibblePreference = 1.03;

Bytes sample_of(ByteView symbols) {
  if (symbols.size() <= 2 * kSampleSlices * kSliceBytes) return {symbols.begin(), symbols.end()};
  return take_slices(symbols, kSampleSlices, kSliceBytes,
                     (symbols.size() - kSliceBytes) / (kSampleSlices - 1));
}

bool all_equal(ByteView v) {
  return v.size() < 2 || std::memcmp(v.data(), v.data() + 1, v.size() - 1) == 0;
}

void append(StreamKind kind, ByteView coded, Bytes& out) {
  ByteWriter w(out);
  w.u8(static_cast<uint8_t>(kind));
  w.varint(coded.size());
  w.bytes(coded);
}

// Appends the stream coded by one coder; false, and nothing appended, when that saves nothing. The
// coders take a limited number of symbols at a time, so a long stream is parts, each with its size.
struct Coder {
  StreamKind kind;
  size_t most;  // symbols
  size_t (*bound)(size_t);
  size_t (*encode)(ByteView, MutableByteView);
  void (*decode)(ByteView, MutableByteView);
};

constexpr Coder kNibble = {StreamKind::kNibbleRans, entropy::kNibbleRansMaxSymbols,
                           entropy::nibble_rans_bound, entropy::nibble_rans_encode,
                           entropy::nibble_rans_decode};
constexpr Coder kByte = {StreamKind::kByteRans, entropy::kByteRansMaxSymbols,
                         entropy::byte_rans_bound, entropy::byte_rans_encode,
                         entropy::byte_rans_decode};

bool try_coder(const Coder& coder, ByteView symbols, Bytes& out) {
  thread_local Bytes scratch, parts;
  const size_t room = coder.bound(std::min(symbols.size(), coder.most));
  if (scratch.size() < room) scratch.resize(room);
  parts.clear();
  ByteWriter w(parts);
  for (ByteView rest = symbols; !rest.empty();) {
    const ByteView part = rest.first(std::min(rest.size(), coder.most));
    const size_t n = coder.encode(part, {scratch.data(), room});
    if (n == 0) return false;
    w.varint(n);
    w.bytes({scratch.data(), n});
    rest = rest.subspan(part.size());
  }
  if (parts.size() >= symbols.size()) return false;
  append(coder.kind, parts, out);
  return true;
}

void decode_parts(const Coder& coder, ByteView coded, MutableByteView symbols) {
  ByteReader in(coded, "entropy-coded stream");
  while (!symbols.empty()) {
    const size_t n = std::min(symbols.size(), coder.most);
    coder.decode(in.bytes(in.varint()), symbols.first(n));
    symbols = symbols.subspan(n);
  }
  in.expect_end();
}

int zstd_level(Level level) {
  return level == Level::kFast ? 1 : level == Level::kDefault ? 9 : 19;
}

bool try_zstd(ByteView symbols, int level, Bytes& out) {
  thread_local Bytes coded;
  coded.clear();
  if (append_zstd(symbols, level, coded) >= symbols.size()) return false;
  append(StreamKind::kZstd, coded, out);
  return true;
}

// Order-0 entropy of n symbols in bits each, corrected for what a sample does not show.
double order0_bits(const entropy::Histogram& counts, double n) {
  const auto used =
      static_cast<double>(std::ranges::count_if(counts, [](uint32_t x) { return x > 0; }));
  return std::min(8.0, entropy::entropy_bits(counts) / n + (used - 1) / (2 * n * std::log(2.0)));
}

// Bits that zstd needs for a symbol: relative to order-0 on the same bytes, then as if on all.
double zstd_cost(ByteView sample, double order0) {
  thread_local Bytes some;
  some.clear();
  for (size_t at = 0; at < sample.size(); at += kRepeatSlices * kSliceBytes) {
    const ByteView slice = sample.subspan(at, std::min<size_t>(kSliceBytes, sample.size() - at));
    some.insert(some.end(), slice.begin(), slice.end());
  }
  const double plain = may_repeat(some, order0) ? sampled_entropy(some) : 0;
  if (plain == 0) return std::numeric_limits<double>::infinity();
  return order0 * 8 * static_cast<double>(zstd_size(some)) /
         (plain * static_cast<double>(some.size()));
}

// What byte_rans adds to order-0: its table, in bits.
double byte_table_bits(const entropy::Histogram& counts) {
  return std::max(0.0, entropy::byte_rans_cost(counts) - entropy::entropy_bits(counts));
}

bool try_classes(ByteView symbols, bool check, Level level, Bytes& out) {
  thread_local Bytes coded;
  coded.clear();
  if (!encode_classes(symbols, check ? 0.003 : 0.02, check, level, coded) ||
      coded.size() >= symbols.size())
    return false;
  append(StreamKind::kClasses, coded, out);
  return true;
}

void encode_stream_with(ByteView symbols, Level level, bool classes, Bytes& out) {
  if (symbols.size() >= 2 && symbols[0] == symbols.back() && all_equal(symbols)) {
    append(StreamKind::kConstant, symbols.first(1), out);
    return;
  }
  const Bytes sample = sample_of(symbols);
  entropy::Histogram counts;
  entropy::histogram(sample, counts);
  const double n = static_cast<double>(sample.size()), order0 = order0_bits(counts, n);
  // Repeats that only a dictionary coder sees have to beat order-0 clearly: it decodes slower.
  if (zstd_cost(sample, order0) < 0.95 * order0 && try_zstd(symbols, zstd_level(level), out)) {
    return;
  }
  if (constexpr double kLimit = 8 * (1 - kLeastGain); order0 < kLimit) {
    const double nibble = entropy::nibble_rans_cost(counts) / n;
    // Streams that the fast coder takes are the many exponents of large models, where the encoder's
    // time counts; the others may cost a second look.
    const bool fast = nibble <= order0 * kNibblePreference;
    const bool check = !fast || level == Level::kMax;
    if (classes && unevenness(sample, counts) >= (check ? kUneven : kVeryUneven) &&
        try_classes(symbols, check, level, out)) {
      return;
    }
    if (fast && try_coder(kNibble, symbols, out)) return;
    const double table = byte_table_bits(counts) / static_cast<double>(symbols.size());
    if (order0 + table < kLimit && try_coder(kByte, symbols, out)) return;
    if (nibble < kLimit && try_coder(kNibble, symbols, out)) return;
  }
  append(StreamKind::kRaw, symbols, out);
}

}  // namespace

double sampled_entropy(ByteView sample) {
  if (sample.empty()) return 0;
  entropy::Histogram counts;
  entropy::histogram(sample, counts);
  return order0_bits(counts, static_cast<double>(sample.size()));
}

void encode_plain_stream(ByteView symbols, Level level, Bytes& out) {
  encode_stream_with(symbols, level, false, out);
}

void encode_stream(ByteView symbols, Level level, Bytes& out) {
  encode_stream_with(symbols, level, level != Level::kFast, out);
}

ByteView decode_stream_view(ByteReader& in, uint64_t n, Bytes& scratch, int depth) {
  const auto kind = static_cast<StreamKind>(in.u8());
  const ByteView coded = in.bytes(in.varint());
  if (kind == StreamKind::kRaw) {
    if (coded.size() != n) in.bad("a stored stream has the wrong length");
    return coded;
  }
  if (scratch.size() < n) scratch.resize(n);
  const MutableByteView to(scratch.data(), n);
  switch (kind) {
    case StreamKind::kConstant:
      if (coded.size() != 1) in.bad("a constant stream is not one byte");
      std::memset(to.data(), coded[0], n);
      return to;
    case StreamKind::kNibbleRans:
      decode_parts(kNibble, coded, to);
      return to;
    case StreamKind::kByteRans:
      decode_parts(kByte, coded, to);
      return to;
    case StreamKind::kZstd:
      if (!decompress_zstd(coded, to)) {
        in.bad("a zstd stream is damaged");
      }
      return to;
    case StreamKind::kClasses: {
      ByteReader body(coded, "classes");
      decode_classes(body, to, depth);
      body.expect_end();
      return to;
    }
    default:
      in.bad("unknown kind of stream");
  }
}

void decode_stream(ByteReader& in, MutableByteView symbols, int depth) {
  thread_local Bytes scratch;
  const ByteView got = decode_stream_view(in, symbols.size(), scratch, depth);
  if (!got.empty()) std::memcpy(symbols.data(), got.data(), got.size());
}

std::string explain_stream(ByteReader& in) {
  static constexpr std::array kNames = {"raw",       "constant", "nibble_rans",
                                        "byte_rans", "zstd",     "classes"};
  const uint8_t kind = in.u8();
  const ByteView coded = in.bytes(in.varint());
  return fmt::format("{} {}", kind < kNames.size() ? kNames[kind] : "?", coded.size());
}

}  // namespace pith::lossless
