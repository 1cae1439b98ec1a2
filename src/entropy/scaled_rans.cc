#include "pith/entropy/scaled_rans.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include "byte_rans_kernels.h"
#include "pith/entropy/fixed_exp.h"
#include "pith/entropy/histogram.h"

namespace pith::entropy {
namespace {

// Scales in units of 1/4096: a third of an octave apart.
constexpr std::array<uint32_t, 3> kThird = {4096, 5161, 6502};
constexpr uint32_t scale_of(uint32_t n) { return kThird[n % 3] << (n / 3) >> 2; }  // from 1/4

// exp(-num / den) of any size.
uint64_t decay(uint64_t num, uint64_t den) {
  uint64_t result = kFixedOne;
  const uint64_t one = exp_minus(1, 1);
  for (; num > den; num -= den) {
    result = fixed_mul(result, one);
    if (result == 0) return 0;
  }
  return fixed_mul(result, exp_minus(num, den));
}

// The weight of the code ±k, that of 0 being kFixedOne.
uint64_t weight(uint32_t table, uint64_t k) {
  if (table <= kNormalTables) {
    const uint64_t s = scale_of(table - 1);
    return decay(k * k * (uint64_t{1} << 23), s * s);  // k^2 / 2 over (s / 4096)^2
  }
  return decay(k * 8192, scale_of(table - 1 - kNormalTables));  // from a scale of 1/8
}

// Codes that are expected less often than once in as many symbols as there are slots escape.
ByteTable make_table(uint32_t table) {
  std::array<uint64_t, 255> w{};
  uint64_t sum = 0;
  for (uint32_t z = 0; z < 255; ++z) {
    w[z] = weight(table, (z + 1) / 2) >> 8;
    sum += w[z];
  }
  uint32_t direct = 1;
  while (direct < 255 && w[direct] > sum / kByteTotal) direct += 2;
  direct = std::min(direct, 255u);
  uint64_t all = 0;
  for (uint32_t z = 0; z < direct; ++z) all += w[z];
  ByteTable t;
  t.used = direct + 1;
  const uint64_t shared = kByteTotal - direct - 1, unit = (all >> 12) + 1;
  uint64_t running = 0, given = 0;
  for (uint32_t z = 0; z < direct; ++z) {
    running += w[z];
    // The sum of weights is below 2^62; so is its share.
    const uint64_t upto = z + 1 == direct ? shared : (running / unit) * shared >> 12;
    t.frequency[z] = static_cast<uint16_t>(1 + upto - given);
    given = upto;
  }
  t.frequency[kEscape] = 1;
  return t;
}

struct Tables {
  std::vector<ByteTable> tables;
  std::vector<ByteDecodeTable> decode;
  std::vector<ByteEncodeTable> encode;
  std::vector<std::array<uint32_t, 256>> costs;
};

std::array<uint32_t, 256> costs_of(const ByteTable& t) {
  std::array<uint32_t, 256> costs{};
  for (uint32_t v = 0; v < 256; ++v) {
    const uint32_t f = t.frequency[v];
    costs[v] = f == 0 ? kNoCost : (kByteTotalLog << 16) - log2_q16(f);
  }
  return costs;
}

const Tables& tables() {
  static const Tables made = [] {
    Tables t;
    ByteTable zeros;
    zeros.frequency[0] = kByteTotal - 1;
    zeros.frequency[kEscape] = 1;
    for (uint32_t n = 0; n < kScaledTables; ++n) {
      t.tables.push_back(n == 0 ? zeros : make_table(n));
      t.decode.emplace_back(t.tables.back());
      t.encode.emplace_back(t.tables.back());
      t.costs.push_back(costs_of(t.tables.back()));
    }
    t.costs[0].fill(kNoCost);
    t.costs[0][0] = 0;
    return t;
  }();
  return made;
}

[[noreturn]] void bad(const char* why) { fail(ErrorKind::kData, "scaled_rans: {}", why); }

// Of so many symbols that take something; a lane costs about 2.5 bytes.
size_t lane_count(uint64_t n) {
  return n < 512 ? 1 : std::min<uint64_t>(kByteLanes, std::bit_floor(n / 256));
}

// How many symbols are in all runs, and how many of them take something.
struct Counts {
  uint64_t all = 0, coded = 0;
};
Counts count(std::span<const ScaledRun> runs, uint64_t size) {
  Counts c;
  for (const ScaledRun& r : runs) {
    if (r.table >= kScaledTables || r.count > size - c.all)
      fail(ErrorKind::kUsage, "scaled_rans: runs are not those of {} symbols", size);
    c.all += r.count;
    if (r.table != 0) c.coded += r.count;
  }
  if (c.all != size) fail(ErrorKind::kUsage, "scaled_rans: runs are not those of {} symbols", size);
  return c;
}

void check_symbols(ByteView symbols, const ScaledRun& run) {
  const auto& costs = scaled_costs(run.table);
  const bool known =
      std::ranges::all_of(symbols, [&](uint8_t symbol) { return costs[symbol] != kNoCost; });
  if (!known) fail(ErrorKind::kUsage, "scaled_rans: table {} has not all symbols", run.table);
}

}  // namespace

const std::array<uint32_t, 256>& scaled_costs(uint32_t table) { return tables().costs.at(table); }

uint8_t scaled_symbol(uint32_t table, int32_t code) {
  if (code < -127 || code > 127) return kEscape;
  const uint32_t z = zigzag(code);
  return z < kEscape && scaled_costs(table)[z] != kNoCost ? static_cast<uint8_t>(z) : kEscape;
}

double scaled_scale(uint32_t table) {
  if (table == 0) return 0;
  return table <= kNormalTables ? scale_of(table - 1) / 4096.0
                                : scale_of(table - 1 - kNormalTables) / 8192.0;
}

void scaled_rans_encode(ByteView symbols, std::span<const ScaledRun> runs, Bytes& out) {
  const Counts counts = count(runs, symbols.size());
  uint64_t end = symbols.size();
  ByteEncoder e;
  e.lanes = lane_count(counts.coded);
  e.state.fill(kByteStart);
  Bytes room(2 * counts.coded + 64);
  e.out = room.data() + room.size();
  for (size_t r = runs.size(); r-- > 0;) {
    const uint64_t begin = end - runs[r].count;
    check_symbols(symbols.subspan(begin, runs[r].count), runs[r]);
    if (runs[r].table != 0)
      byte_encode_segment(tables().encode[runs[r].table], e, symbols.data() + begin, end - begin);
    end = begin;
  }
  if (counts.coded == 0) return;
  ByteWriter to(out);
  to.u8(static_cast<uint8_t>(std::countr_zero(e.lanes)));
  for (size_t k = 0; k < e.lanes; ++k) to.u32(e.state[k]);
  to.bytes({e.out, static_cast<size_t>(room.data() + room.size() - e.out)});
}

void scaled_rans_decode(ByteView code, std::span<const ScaledRun> runs, MutableByteView symbols) {
  const Counts counts = count(runs, symbols.size());
  ByteReader in(code, "scaled_rans");
  ByteDecoder d;
  d.lanes = 1;
  d.state.fill(kByteStart);
  if (counts.coded > 0) {
    const uint8_t log_lanes = in.u8();
    if (log_lanes > 5) in.bad("unknown format");
    d.lanes = size_t{1} << log_lanes;
    for (size_t k = 0; k < d.lanes; ++k) {
      d.state[k] = in.u32();
      if (d.state[k] < kByteStart) in.bad("a state below 65536");
    }
  }
  const ByteView words = in.bytes(in.remaining());
  if (words.size() % 2 != 0) bad("truncated");
  d.in = words.data();
  d.in_end = words.data() + words.size();
  uint8_t* to = symbols.data();
  for (const ScaledRun& r : runs) {
    if (r.table == 0)
      std::fill(to, to + r.count, uint8_t{0});
    else if (!byte_decode_segment(tables().decode[r.table], d, to, r.count))
      bad("the stream ends early");
    to += r.count;
  }
  if (d.in != d.in_end) bad("bytes are left over");
  const auto begin = d.state.begin(), last = begin + static_cast<ptrdiff_t>(d.lanes);
  if (std::any_of(begin, last, [](uint32_t x) { return x != kByteStart; }))
    bad("the final states are wrong: the data are damaged");
}

}  // namespace pith::entropy
