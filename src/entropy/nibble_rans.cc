#include "pith/entropy/nibble_rans.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "nibble_rans_kernels.h"
#include "segments.h"

namespace pith::entropy {
namespace {

constexpr size_t kSlack = 4096;  // room for the header and for whole-vector stores
constexpr size_t kHeaderMax = 2560;
constexpr TableCost kTableCost{90, 0};
// Escapes are coded like the stream they come from, and theirs again; at most so deep.
constexpr int kMaxDepth = 3;
constexpr size_t kNestedMin = 24;  // fewer escapes are stored as they are

enum class Escapes : uint32_t { kNone = 0, kRaw = 1, kNested = 2 };

// Segments are whole units, but for the end of the stream, which has at most 32 of them.
size_t unit_size(size_t n) { return std::max<size_t>(1024, std::bit_ceil((n + 31) / 32)); }
size_t unit_count(size_t n) { return (n + unit_size(n) - 1) / unit_size(n); }

// Each lane costs about 1.2 bytes; short streams spend at most some 0.5 % on them.
size_t lane_count(size_t n) {
  return n < 2 * 256 ? 1 : std::min(kNibbleLanes, std::bit_floor(n / 256));
}

struct Segment {
  size_t units = 0;
  NibbleTable table;
};

struct Plan {
  std::vector<Segment> segments;
  size_t escapes = 0;
};

size_t count_escapes(const Histogram& counts, const NibbleTable& t) {
  if (!t.escape) return 0;
  size_t escapes = 0;
  for (const uint32_t c : counts) escapes += c;
  for (uint32_t i = 0; i < t.direct; ++i) escapes -= counts[t.symbol[i]];
  return escapes;
}

Plan make_plan(ByteView symbols) {
  Plan plan;
  for (const SegmentCounts& s : split_segments(symbols, unit_size(symbols.size()), kTableCost)) {
    plan.segments.push_back({s.units, choose_nibble_table(s.counts, nullptr)});
    plan.escapes += count_escapes(s.counts, plan.segments.back().table);
  }
  return plan;
}

size_t encode(ByteView symbols, MutableByteView out, int depth);

// Escapes and how they are coded.
struct EscapeCode {
  Escapes kind = Escapes::kNone;
  Bytes bytes;
};

EscapeCode code_escapes(ByteView escapes, int depth) {
  if (escapes.empty()) return {};
  EscapeCode code{Escapes::kRaw, {}};
  if (escapes.size() >= kNestedMin && depth < kMaxDepth) {
    code.bytes.resize(nibble_rans_bound(escapes.size()));
    const size_t size = encode(escapes, code.bytes, depth + 1);
    code.bytes.resize(size);
    if (size > 0) {
      code.kind = Escapes::kNested;
      return code;
    }
  }
  code.bytes.assign(escapes.begin(), escapes.end());
  return code;
}

// Everything before the states.
Bytes write_header(const Plan& plan, size_t n, size_t lanes, const EscapeCode& escapes) {
  Bytes header;
  BitWriter bits(header);
  bits.put(static_cast<uint32_t>(std::countr_zero(lanes)), 4);
  bits.put(static_cast<uint32_t>(escapes.kind), 4);
  for (const Segment& s : plan.segments) {
    if (unit_count(n) > 1) bits.put(static_cast<uint32_t>(s.units - 1), 5);
    write_nibble_table(s.table, bits);
  }
  if (escapes.kind != Escapes::kNone) bits.gamma(static_cast<uint32_t>(plan.escapes));
  if (escapes.kind == Escapes::kNested) bits.gamma(static_cast<uint32_t>(escapes.bytes.size()));
  bits.flush();
  return header;
}

void encode_segments(const Plan& plan, ByteView symbols, NibbleEncoder& e) {
  size_t end = symbols.size();
  size_t units = unit_count(symbols.size());
  for (size_t s = plan.segments.size(); s-- > 0;) {
    units -= plan.segments[s].units;
    const size_t begin = units * unit_size(symbols.size());
    const NibbleTable& table = plan.segments[s].table;
    if (!table.constant()) {
      nibble_encode_segment(NibbleEncodeTable(table), e, symbols.data() + begin, end - begin);
    }
    end = begin;
  }
}

bool has_states(const std::vector<Segment>& segments) {
  return std::any_of(segments.begin(), segments.end(),
                     [](const Segment& s) { return !s.table.constant(); });
}

size_t encode(ByteView symbols, MutableByteView out, int depth) {
  if (symbols.empty()) return 0;
  const Plan plan = make_plan(symbols);
  Bytes escapes(plan.escapes + kNibblePad);
  NibbleEncoder e;
  e.lanes = lane_count(symbols.size());
  e.state.fill(kNibbleStart);
  e.out = out.data() + out.size();
  e.escapes = escapes.data() + escapes.size();
  encode_segments(plan, symbols, e);
  const auto coded = static_cast<size_t>(out.data() + out.size() - e.out);
  const EscapeCode tail = code_escapes(ByteView(escapes).subspan(kNibblePad), depth);
  const Bytes header = write_header(plan, symbols.size(), e.lanes, tail);
  const size_t states = has_states(plan.segments) ? 2 * e.lanes : 0;
  const size_t size = header.size() + states + coded + tail.bytes.size();
  if (size >= symbols.size()) return 0;
  std::memcpy(out.data(), header.data(), header.size());
  std::memcpy(out.data() + header.size(), e.state.data(), states);
  std::memmove(out.data() + header.size() + states, e.out, coded);
  std::copy(tail.bytes.begin(), tail.bytes.end(), out.data() + (size - tail.bytes.size()));
  return size;
}

[[noreturn]] void bad(const char* why) { fail(ErrorKind::kData, "nibble_rans: {}", why); }

struct Header {
  size_t lanes;
  Escapes escapes;
  std::vector<Segment> segments;
  size_t escape_count = 0, escape_bytes = 0;
  size_t size;
};

Header read_header(ByteView code, size_t n) {
  BitReader bits(code, "nibble_rans");
  Header h;
  const uint32_t log_lanes = bits.get(4), escapes = bits.get(4);
  if ((size_t{1} << log_lanes) > kNibbleLanes || escapes > 2) bits.bad("unknown format");
  h.lanes = size_t{1} << log_lanes;
  h.escapes = static_cast<Escapes>(escapes);
  for (size_t left = unit_count(n); left > 0; left -= h.segments.back().units) {
    const size_t units = unit_count(n) > 1 ? bits.get(5) + 1 : 1;
    if (units > left) bits.bad("segments are longer than the stream");
    h.segments.push_back({units, read_nibble_table(bits)});
  }
  if (h.escapes != Escapes::kNone) h.escape_count = bits.gamma();
  h.escape_bytes = h.escapes == Escapes::kNested ? bits.gamma() : h.escape_count;
  h.size = bits.byte_position();
  if (h.escape_count > n || h.escape_bytes > code.size() - h.size) bits.bad("too many escapes");
  return h;
}

void decode(ByteView code, MutableByteView symbols, int depth);

// The escapes and kNibblePad bytes more.
Bytes decode_escapes(const Header& h, ByteView code, int depth) {
  Bytes escapes(h.escape_count + kNibblePad);
  const MutableByteView to(escapes.data(), h.escape_count);
  if (h.escapes == Escapes::kNested) {
    if (depth >= kMaxDepth) bad("escapes are nested too deep");
    decode(code, to, depth + 1);
  } else {
    std::copy(code.begin(), code.end(), to.begin());
  }
  return escapes;
}

void decode_segments(const Header& h, NibbleDecoder& d, MutableByteView symbols) {
  size_t begin = 0;
  for (const Segment& s : h.segments) {
    const size_t n = std::min(s.units * unit_size(symbols.size()), symbols.size() - begin);
    uint8_t* to = symbols.data() + begin;
    if (s.table.constant()) {
      std::memset(to, s.table.symbol[0], n);
    } else if (!nibble_decode_segment(NibbleDecodeTable(s.table), d, to, n)) {
      bad("the stream ends early");
    }
    begin += n;
  }
}

void decode(ByteView code, MutableByteView symbols, int depth) {
  if (symbols.empty()) {
    if (!code.empty()) bad("unexpected bytes");
    return;
  }
  const Header h = read_header(code, symbols.size());
  const size_t states = has_states(h.segments) ? 2 * h.lanes : 0;
  const ByteView body = code.subspan(h.size, code.size() - h.size - h.escape_bytes);
  if (states > body.size()) bad("truncated states");
  const Bytes escapes = decode_escapes(h, code.last(h.escape_bytes), depth);
  NibbleDecoder d;
  d.lanes = h.lanes;
  d.state.fill(kNibbleStart);
  std::memcpy(d.state.data(), body.data(), states);
  d.in = body.data() + states;
  d.in_end = body.data() + body.size();
  d.escapes = escapes.data();
  d.escapes_end = escapes.data() + h.escape_count;
  const auto begin = d.state.begin(), end = d.state.begin() + static_cast<ptrdiff_t>(h.lanes);
  if (std::any_of(begin, end, [](uint16_t x) { return x < kNibbleStart; }))
    bad("a state below 256");
  decode_segments(h, d, symbols);
  if (d.in != d.in_end || d.escapes != d.escapes_end) bad("bytes are left over");
  if (std::any_of(begin, end, [](uint16_t x) { return x != kNibbleStart; })) {
    bad("the final states are wrong: the data are damaged");
  }
}

void check_length(size_t n) {
  if (n > kNibbleRansMaxSymbols) {
    fail(ErrorKind::kUsage, "nibble_rans: {} symbols, at most {} fit a stream", n,
         kNibbleRansMaxSymbols);
  }
}

static_assert(32 * (5 + 13 + 15 * 15 + 16 * 15) / 8 + 32 < kHeaderMax);
static_assert(kHeaderMax + 2 * kNibbleLanes + kNibblePad < kSlack);

}  // namespace

size_t nibble_rans_bound(size_t n) { return n + kSlack; }

size_t nibble_rans_encode(ByteView symbols, MutableByteView out) {
  check_length(symbols.size());
  if (out.size() < nibble_rans_bound(symbols.size())) {
    fail(ErrorKind::kUsage, "nibble_rans: {} bytes of room, {} are needed", out.size(),
         nibble_rans_bound(symbols.size()));
  }
  return encode(symbols, out.first(nibble_rans_bound(symbols.size())), 0);
}

void nibble_rans_decode(ByteView code, MutableByteView symbols) {
  check_length(symbols.size());
  decode(code, symbols, 0);
}

double nibble_rans_cost(const Histogram& counts) {
  uint64_t total = 0, cost = 0;
  for (const uint32_t c : counts) total += c;
  if (total == 0) return 0;
  const NibbleTable t = choose_nibble_table(counts, &cost);
  const size_t lanes = t.constant() ? 0 : lane_count(static_cast<size_t>(total));
  return static_cast<double>(cost) / 65536 + 8 + 10.0 * static_cast<double>(lanes);
}

}  // namespace pith::entropy
