#include "pith/entropy/byte_rans.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "byte_rans_kernels.h"
#include "segments.h"

namespace pith::entropy {
namespace {

constexpr TableCost kTableCost{40, 4};
constexpr size_t kMaxUnits = 64;
constexpr unsigned kUnitsBits = 6;
// Room for tables: at most 64 of 256 symbols at 8 + 257 / 8 bits and more, and the states.
constexpr size_t kTableRoom = 1024;

// Segments are whole units, but for the end of the stream.
size_t unit_size(size_t n) {
  return std::max<size_t>(4096, std::bit_ceil((n + kMaxUnits - 1) / kMaxUnits));
}
size_t unit_count(size_t n) { return (n + unit_size(n) - 1) / unit_size(n); }

// Each lane costs about 2.5 bytes.
size_t lane_count(size_t n) {
  return n < 2 * 512 ? 1 : std::min(kByteLanes, std::bit_floor(n / 512));
}

struct Segment {
  size_t units;
  ByteTable table;
};

bool has_states(const std::vector<Segment>& segments) {
  return std::any_of(segments.begin(), segments.end(),
                     [](const Segment& s) { return !s.table.constant(); });
}

// Everything before the states; the segments with their tables go to `segments`.
Bytes plan_stream(ByteView symbols, size_t lanes, std::vector<Segment>& segments) {
  Bytes header;
  BitWriter bits(header);
  bits.put(static_cast<uint32_t>(std::countr_zero(lanes)), 8);
  for (const SegmentCounts& s : split_segments(symbols, unit_size(symbols.size()), kTableCost)) {
    const ByteGrades grades = choose_byte_grades(s.counts);
    if (unit_count(symbols.size()) > 1) bits.put(static_cast<uint32_t>(s.units - 1), kUnitsBits);
    write_byte_grades(grades, bits);
    segments.push_back({s.units, byte_table(grades)});
  }
  bits.flush();
  return header;
}

void encode_segments(const std::vector<Segment>& segments, ByteView symbols, ByteEncoder& e) {
  size_t end = symbols.size(), units = unit_count(symbols.size());
  for (size_t s = segments.size(); s-- > 0;) {
    units -= segments[s].units;
    const size_t begin = units * unit_size(symbols.size());
    if (!segments[s].table.constant()) {
      byte_encode_segment(ByteEncodeTable(segments[s].table), e, symbols.data() + begin,
                          end - begin);
    }
    end = begin;
  }
}

[[noreturn]] void bad(const char* why) { fail(ErrorKind::kData, "byte_rans: {}", why); }

void check_length(size_t n) {
  if (n > kByteRansMaxSymbols) {
    fail(ErrorKind::kUsage, "byte_rans: {} symbols, at most {} fit a stream", n,
         kByteRansMaxSymbols);
  }
}

struct Header {
  size_t lanes, size;
  std::vector<Segment> segments;
};

Header read_header(ByteView code, size_t n) {
  BitReader bits(code, "byte_rans");
  Header h;
  const uint32_t log_lanes = bits.get(8);
  if (log_lanes > 5) bits.bad("unknown format");
  h.lanes = size_t{1} << log_lanes;
  for (size_t left = unit_count(n); left > 0; left -= h.segments.back().units) {
    const size_t units = unit_count(n) > 1 ? bits.get(kUnitsBits) + 1 : 1;
    if (units > left) bits.bad("segments are longer than the stream");
    h.segments.push_back({units, byte_table(read_byte_grades(bits))});
  }
  h.size = bits.byte_position();
  return h;
}

void decode_segments(const Header& h, ByteDecoder& d, MutableByteView symbols) {
  size_t begin = 0;
  for (const Segment& s : h.segments) {
    const size_t n = std::min(s.units * unit_size(symbols.size()), symbols.size() - begin);
    uint8_t* to = symbols.data() + begin;
    if (s.table.constant()) {
      std::memset(to, s.table.first, n);
    } else if (!byte_decode_segment(ByteDecodeTable(s.table), d, to, n)) {
      bad("the stream ends early");
    }
    begin += n;
  }
}

}  // namespace

size_t byte_rans_bound(size_t n) { return 2 * n + kTableRoom * unit_count(n) + kTableRoom; }

size_t byte_rans_encode(ByteView symbols, MutableByteView out) {
  const size_t n = symbols.size(), bound = byte_rans_bound(n);
  check_length(n);
  if (out.size() < bound) {
    fail(ErrorKind::kUsage, "byte_rans: {} bytes of room, {} are needed", out.size(), bound);
  }
  if (n == 0) return 0;
  std::vector<Segment> segments;
  ByteEncoder e;
  e.lanes = lane_count(n);
  e.state.fill(kByteStart);
  e.out = out.data() + bound;
  const Bytes header = plan_stream(symbols, e.lanes, segments);
  encode_segments(segments, symbols, e);
  const size_t states = has_states(segments) ? 4 * e.lanes : 0;
  const auto coded = static_cast<size_t>(out.data() + bound - e.out);
  const size_t size = header.size() + states + coded;
  if (size >= n) return 0;
  std::memmove(out.data() + header.size() + states, e.out, coded);
  std::memcpy(out.data(), header.data(), header.size());
  std::memcpy(out.data() + header.size(), e.state.data(), states);
  return size;
}

void byte_rans_decode(ByteView code, MutableByteView symbols) {
  check_length(symbols.size());
  if (symbols.empty()) {
    if (!code.empty()) bad("unexpected bytes");
    return;
  }
  const Header h = read_header(code, symbols.size());
  const ByteView body = code.subspan(h.size);
  const size_t states = has_states(h.segments) ? 4 * h.lanes : 0;
  if (states > body.size() || (body.size() - states) % 2 != 0) bad("truncated");
  ByteDecoder d;
  d.lanes = h.lanes;
  d.state.fill(kByteStart);
  std::memcpy(d.state.data(), body.data(), states);
  d.in = body.data() + states;
  d.in_end = body.data() + body.size();
  const auto begin = d.state.begin(), end = d.state.begin() + static_cast<ptrdiff_t>(h.lanes);
  if (std::any_of(begin, end, [](uint32_t x) { return x < kByteStart; }))
    bad("a state below 65536");
  decode_segments(h, d, symbols);
  if (d.in != d.in_end) bad("bytes are left over");
  if (std::any_of(begin, end, [](uint32_t x) { return x != kByteStart; })) {
    bad("the final states are wrong: the data are damaged");
  }
}

double byte_rans_cost(const Histogram& counts) {
  uint64_t total = 0;
  for (const uint32_t c : counts) total += c;
  if (total == 0) return 0;
  const ByteGrades grades = choose_byte_grades(counts);
  Bytes table;
  BitWriter bits(table);
  write_byte_grades(grades, bits);
  bits.flush();
  const ByteTable t = byte_table(grades);
  double cost = 8.0 * static_cast<double>(table.size() + 1);
  if (t.constant()) return cost;
  for (uint32_t v = 0; v < 256; ++v) {
    const uint32_t f = t.frequency[v];
    if (f > 0) cost += counts[v] * (kByteTotalLog - log2_q16(f) / 65536.0);
  }
  return cost + 20.0 * static_cast<double>(lane_count(static_cast<size_t>(total)));
}

}  // namespace pith::entropy
