#include "stream_block.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pith/base/error.h"
#include "pith/entropy/byte_rans.h"
#include "pith/entropy/scaled_rans.h"
#include "stream_kernel.h"

namespace pith::kv {
namespace {

using entropy::kEscape;
using entropy::ScaledRun;

enum : uint8_t { kPlain, kCoded, kAlike };

// Bytes of a number that the reader knows.
void write_packed(ByteView bytes, ByteWriter& to) {
  const bool alike =
      !bytes.empty() && std::ranges::all_of(bytes, [&](uint8_t b) { return b == bytes[0]; });
  if (alike) {
    to.u8(kAlike);
    to.u8(bytes[0]);
    return;
  }
  Bytes room(entropy::byte_rans_bound(bytes.size()));
  const size_t n = entropy::byte_rans_encode(bytes, room);
  to.u8(n > 0 ? kCoded : kPlain);
  if (n > 0) to.varint(n);
  to.bytes(n > 0 ? ByteView(room).first(n) : bytes);
}

std::vector<uint8_t> read_packed(ByteReader& from, uint64_t n) {
  const uint8_t how = from.u8();
  std::vector<uint8_t> out(n);
  if (how == kAlike) {
    std::ranges::fill(out, from.u8());
  } else if (how == kCoded) {
    if (n > entropy::kByteRansMaxSymbols) from.bad("too many channels");
    entropy::byte_rans_decode(from.bytes(from.varint()), out);
  } else if (how == kPlain) {
    std::ranges::copy(from.bytes(n), out.begin());
  } else {
    from.bad("packed in no way that there is");
  }
  return out;
}

void write_float(float f, ByteWriter& to) {
  uint32_t raw = 0;
  std::memcpy(&raw, &f, sizeof raw);
  to.u32(raw);
}
float read_step(ByteReader& from) {
  const uint32_t raw = from.u32();
  float f = 0;
  std::memcpy(&f, &raw, sizeof f);
  if (!(f > 0 && f < 1e30F)) from.bad("a step that is none");
  return f;
}

// The means as bytes, those that do not fit as escapes with a varint each.
void write_means(const std::vector<int32_t>& means, ByteWriter& to) {
  Bytes small;
  for (const int32_t m : means)
    small.push_back(static_cast<uint8_t>(std::min<uint32_t>(entropy::zigzag(m), kEscape)));
  write_packed(small, to);
  for (const int32_t m : means) {
    if (entropy::zigzag(m) >= kEscape) to.varint(entropy::zigzag(m));
  }
}

int32_t read_code(ByteReader& from) {
  const uint64_t z = from.varint();
  if (z > ~uint32_t{0}) from.bad("a code that is too large");
  return entropy::unzigzag(static_cast<uint32_t>(z));
}

// Channels of a part by their tables, those of one table in order.
std::vector<uint64_t> order_of(const uint8_t* tables, uint64_t channels) {
  std::vector<uint64_t> order(channels);
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](uint64_t c) { return tables[c]; });
  return order;
}

void add_runs(const uint8_t* tables, const std::vector<uint64_t>& order, uint64_t rows,
              std::vector<ScaledRun>& runs) {
  for (uint64_t i = 0; i < order.size(); ++i) {
    const uint32_t table = tables[order[i]];
    if (i > 0 && runs.back().table == table)
      runs.back().count += rows;
    else
      runs.push_back({table, rows});
  }
}

// The symbols of a part, in order; numbers behind escapes go to `escapes`.
void add_symbols(const std::vector<int32_t>& codes, const uint8_t* tables,
                 const std::vector<uint64_t>& order, uint64_t rows, Bytes& symbols,
                 std::vector<int32_t>& escapes) {
  for (const uint64_t c : order) {
    for (uint64_t t = 0; t < rows; ++t) {
      const int32_t code = codes[c * rows + t];
      symbols.push_back(entropy::scaled_symbol(tables[c], code));
      if (symbols.back() == kEscape) escapes.push_back(code);
    }
  }
}

}  // namespace

Bytes write_plane(const PlaneCodes& codes, const Scheme& scheme, const PlaneTables& tables) {
  Bytes out, symbols;
  ByteWriter to(out);
  to.u8(codes.bits.empty() ? 0 : 1);
  write_float(codes.unit, to);
  if (!codes.bits.empty()) write_packed(codes.bits, to);
  if (scheme.grouped()) write_float(codes.anchor_step, to);
  if (scheme.deltas == Deltas::kMean) write_means(codes.means, to);
  write_packed(tables.tables, to);
  std::vector<ScaledRun> runs;
  std::vector<int32_t> escapes;
  const uint8_t* at = tables.tables.data();
  const uint64_t channels = codes.steps.size();
  for (const auto* part : {&codes.anchors, &codes.others}) {
    const uint64_t rows = part == &codes.anchors ? scheme.anchors() : scheme.others();
    if (rows == 0) continue;
    const std::vector<uint64_t> order = order_of(at, channels);
    add_runs(at, order, rows, runs);
    add_symbols(*part, at, order, rows, symbols, escapes);
    at += channels;
  }
  to.varint(escapes.size());
  for (const int32_t e : escapes) to.varint(entropy::zigzag(e));
  entropy::scaled_rans_encode(symbols, runs, out);
  return out;
}

PlaneReader::PlaneReader(ByteView bytes, const Scheme& scheme, uint64_t channels,
                         const std::vector<float>& deviations)
    : scheme_(scheme), channels_(channels) {
  ByteReader from(bytes, "a layer of keys or values");
  read_steps(from, deviations);
  if (scheme.grouped()) anchor_steps_.assign(channels, read_step(from));
  means_.assign(channels, 0);
  if (scheme.deltas == Deltas::kMean) {
    const std::vector<uint8_t> small = read_packed(from, channels);
    for (uint64_t c = 0; c < channels; ++c) {
      const int32_t code = small[c] == kEscape ? read_code(from) : entropy::unzigzag(small[c]);
      means_[c] = static_cast<float>(code) * steps_[c];
    }
  }
  read_codes(from);
}

void PlaneReader::read_steps(ByteReader& from, const std::vector<float>& deviations) {
  const uint8_t kind = from.u8();
  const float unit = read_step(from);
  if (kind == 0) {
    steps_.assign(channels_, unit);
    return;
  }
  if (kind != 1 || deviations.size() < channels_) from.bad("steps of no kind that there is");
  const std::vector<uint8_t> bits = read_packed(from, channels_);
  if (!std::ranges::all_of(bits, [](uint8_t b) { return b <= 16; })) from.bad("too many bits");
  steps_ = steps_of_bits(bits, unit, deviations);
}

void PlaneReader::read_codes(ByteReader& from) {
  const uint64_t rows[2] = {scheme_.anchors(), scheme_.others()};
  tables_ = read_packed(from, ((rows[0] > 0 ? 1 : 0) + (rows[1] > 0 ? 1 : 0)) * channels_);
  if (!std::ranges::all_of(tables_, [](uint8_t t) { return t < entropy::kScaledTables; }))
    from.bad("a table that there is not");
  const uint64_t escapes = from.count(1);
  std::vector<int32_t> numbers(escapes);
  for (int32_t& n : numbers) n = read_code(from);
  std::vector<ScaledRun> runs;
  std::vector<std::vector<uint64_t>> orders;
  const uint8_t* at = tables_.data();
  for (const uint64_t r : rows) {
    orders.emplace_back();
    if (r == 0) continue;
    orders.back() = order_of(at, channels_);
    add_runs(at, orders.back(), r, runs);
    at += channels_;
  }
  symbols_.resize(channels_ * scheme_.tokens);
  entropy::scaled_rans_decode(from.bytes(from.remaining()), runs, symbols_);
  const uint8_t* row = symbols_.data();
  for (int part = 0; part < 2; ++part) {
    auto& to = part == 0 ? anchor_rows_ : other_rows_;
    to.resize(channels_);
    for (const uint64_t c : orders[part]) {
      to[c] = row;
      row += rows[part];
    }
  }
  // Where escapes are, in the order of the symbols.
  uint64_t found = 0;
  for (const uint8_t *p = symbols_.data(), *end = p + symbols_.size(); p != end; ++p) {
    p = static_cast<const uint8_t*>(std::memchr(p, kEscape, static_cast<size_t>(end - p)));
    if (p == nullptr) break;
    if (found == escapes) from.bad("escapes without a number");
    auto i = static_cast<uint64_t>(p - symbols_.data());
    const bool anchor = i < channels_ * rows[0];
    if (!anchor) i -= channels_ * rows[0];
    const uint64_t r = rows[anchor ? 0 : 1];
    escapes_.push_back({anchor, orders[anchor ? 0 : 1][i / r], i % r, numbers[found++]});
  }
  if (found != escapes) from.bad("numbers without an escape");
  std::ranges::stable_sort(escapes_, {}, &Escape::row);
}

uint64_t PlaneReader::used() const {
  uint64_t n = channels_;
  const auto zero = [&](uint64_t c) {
    for (uint64_t at = c; at < tables_.size(); at += channels_) {
      if (tables_[at] != 0) return false;
    }
    return means_[c] == 0;
  };
  while (n > 0 && zero(n - 1)) --n;
  return n;
}

// The escapes of a row, of the channels that are there.
void PlaneReader::patch(bool anchor, uint64_t row, uint64_t first, uint64_t count,
                        const float* from, float* out) const {
  const auto [begin, end] = std::ranges::equal_range(escapes_, row, {}, &Escape::row);
  for (auto e = begin; e != end; ++e) {
    if (e->anchor != anchor || e->channel < first || e->channel >= first + count) continue;
    const uint64_t c = e->channel - first;
    const float step = (anchor ? anchor_steps_ : steps_)[e->channel];
    out[c] = from[c] + static_cast<float>(e->code) * step;
  }
}

void PlaneReader::restore_grouped(uint64_t first, uint64_t count, const uint8_t* anchors,
                                  const uint8_t* others, float* out) const {
  const std::vector<float> zeros(count);
  const float* steps = steps_.data() + first;
  for (uint64_t t = 0; t < scheme_.tokens; t += scheme_.group) {
    float* anchor = out + t * count;
    const uint64_t group = t / scheme_.group, before = t - group;
    restore_rows(anchors + group * count, 1, count, anchor_steps_.data(), zeros.data(), anchor);
    if (!escapes_.empty()) patch(true, group, first, count, zeros.data(), anchor);
    const uint64_t rows = std::min(scheme_.group, scheme_.tokens - t) - 1;
    const bool previous = scheme_.deltas == Deltas::kPrevious;
    if (!previous)
      restore_rows(others + before * count, rows, count, steps, anchor, anchor + count);
    for (uint64_t r = 0; r < rows && (previous || !escapes_.empty()); ++r) {
      const float* from = previous ? anchor + r * count : anchor;
      float* to = anchor + (r + 1) * count;
      if (previous) restore_rows(others + (before + r) * count, 1, count, steps, from, to);
      patch(false, before + r, first, count, from, to);
    }
  }
}

void PlaneReader::restore(uint64_t first, uint64_t count, float* out) const {
  thread_local std::vector<uint8_t> anchors, others;
  others.resize(scheme_.others() * count);
  transpose_bytes(other_rows_.data() + first, count, scheme_.others(), others.data());
  if (scheme_.grouped()) {
    anchors.resize(scheme_.anchors() * count);
    transpose_bytes(anchor_rows_.data() + first, count, scheme_.anchors(), anchors.data());
    return restore_grouped(first, count, anchors.data(), others.data(), out);
  }
  const float* means = means_.data() + first;
  restore_rows(others.data(), scheme_.tokens, count, steps_.data() + first, means, out);
  for (const Escape& e : escapes_) {
    if (e.channel < first || e.channel >= first + count) continue;
    out[e.row * count + e.channel - first] =
        means_[e.channel] + static_cast<float>(e.code) * steps_[e.channel];
  }
}

}  // namespace pith::kv
