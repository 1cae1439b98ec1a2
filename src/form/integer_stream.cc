#include "integer_stream.h"

#include <algorithm>

#include "integer_kernel.h"
#include "pith/base/error.h"

namespace pith::form {

IntegerDecodeTables::IntegerDecodeTables(const IntegerTables& tables)
    : slots(tables.tables.size() << kIntegerTotalLog) {
  uint32_t* to = slots.data();
  for (const IntegerFrequencies& table : tables.tables) {
    for (uint32_t place = 0; place < table.size(); ++place) {
      const uint32_t f = table[place], symbol = (place - 128) & 0xff;
      for (uint32_t i = 0; i < f; ++i) *to++ = (f - 1) | i << 12 | symbol << 24;
    }
  }
  for (size_t k = 0; k < kIntegerClasses; ++k) {
    low_bits[k] = static_cast<uint8_t>(low_bits_of(static_cast<int>(k)));
    for (size_t odd = 0; odd < 2; ++odd) {
      of[odd][k] = tables.of[odd][k];
      sorts[64 * odd + k] = low_bits[k] | of[odd][k] << 3;
    }
  }
}

IntegerPanelDecoder::IntegerPanelDecoder(const Source& source, uint64_t first_row, uint64_t rows,
                                         ByteView stream)
    : source_(source),
      row_(first_row),
      end_row_(first_row + rows),
      lanes_(integer_lanes(rows * source.cols)),
      in_(stream.data()),
      in_end_(stream.data() + stream.size()),
      states_(source.cols + kIntegerGroup) {
  if (stream.size() < 4 * lanes_ || stream.size() % 2 != 0)
    fail(ErrorKind::kData, "integer: the stream of row {} is too short", first_row);
  lane_.fill(kIntegerStart);
  for (uint64_t i = 0; i < lanes_; ++i, in_ += 4) lane_[i] = load_le<uint32_t>(in_);
}

void IntegerPanelDecoder::next(uint64_t n, float* out) {
  for (uint64_t r = 0; r < n; ++r) {
    row(out);
    if (out) out += source_.cols;
  }
}

void IntegerPanelDecoder::row(float* out) {
  const IntegerDecodeTables& tables = *source_.tables;
  IntegerRow kernel{tables.slots.data(),
                    tables.of[0].data(),
                    tables.of[1].data(),
                    tables.low_bits.data(),
                    tables.sorts.data(),
                    source_.trellis->feedback(),
                    source_.trellis->input(),
                    source_.trellis->states() > 1,
                    source_.cols,
                    source_.classes->columns.data(),
                    source_.scales->columns.data(),
                    states_.data(),
                    source_.classes->rows[row_],
                    source_.scales->rows[row_],
                    lanes_,
                    lane_.data(),
                    in_,
                    in_end_,
                    out};
  const uint64_t width = std::min(lanes_, kIntegerGroup), done = decode_integer_columns(kernel);
  in_ = kernel.in;
  for (uint64_t c = done; c < source_.cols; c += width)
    group(row_, c, std::min(width, source_.cols - c), out ? out + c : nullptr);
  if (++row_ == end_row_) expect_end();
}

void IntegerPanelDecoder::group(uint64_t row, uint64_t column, uint64_t n, float* out) {
  const IntegerDecodeTables& tables = *source_.tables;
  const int row_class = source_.classes->rows[row];
  std::array<int, kIntegerGroup> codes;
  uint32_t escaped = 0;
  const auto word = [&]() -> uint32_t {
    if (in_ == in_end_) return 0;  // found at the end of the panel
    const uint32_t w = load_le<uint16_t>(in_);
    in_ += 2;
    return w;
  };
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t c = column + i;
    const auto k = static_cast<size_t>(integer_class(row_class, source_.classes->columns[c]));
    const uint32_t b = tables.low_bits[k];
    uint32_t& lane = lane_[c & (lanes_ - 1)];
    const uint32_t x = lane, table = tables.of[states_[c] & 1][k];
    const uint32_t slot =
        tables.slots[(table << kIntegerTotalLog) + ((x >> b) & (kIntegerTotal - 1))];
    const uint32_t f = (slot & 0xfff) + 1;
    const int symbol = static_cast<int8_t>(slot >> 24);
    lane = f * (x >> (kIntegerTotalLog + b)) + ((slot >> 12) & 0xfff);
    if (lane < kIntegerStart) lane = lane << 16 | word();
    codes[i] = static_cast<int>(static_cast<uint32_t>(symbol) << b | (x & ((1u << b) - 1)));
    escaped |= (symbol == kIntegerEscape ? 1u : 0u) << i;
  }
  for (; escaped != 0; escaped &= escaped - 1)
    codes[static_cast<size_t>(std::countr_zero(escaped))] = static_cast<int16_t>(word());
  for (uint64_t i = 0; i < n; ++i) {
    uint8_t& state = states_[column + i];
    if (out) {
      const float scale = source_.scales->columns[column + i] * source_.scales->rows[row];
      out[i] = scale * integer_level(codes[i], state);
    }
    state = source_.trellis->next(state, codes[i]);
  }
}

void IntegerPanelDecoder::expect_end() const {
  const bool ended = std::ranges::all_of(lane_, [](uint32_t x) { return x == kIntegerStart; });
  if (in_ != in_end_ || !ended)
    fail(ErrorKind::kData, "integer: the codes before row {} are damaged", end_row_);
}

namespace {

// Bit r: the state of row r is odd.
uint64_t odd_states(const IntegerTrellis& trellis, const int16_t* codes, uint64_t rows) {
  uint64_t odd = 0;
  uint8_t state = 0;
  for (uint64_t r = 0; r < rows; ++r) {
    odd |= static_cast<uint64_t>(state & 1) << r;
    state = trellis.next(state, codes[r]);
  }
  return odd;
}

struct Slots {
  std::array<uint16_t, 256> first;
};

std::vector<Slots> first_slots(const IntegerTables& tables) {
  std::vector<Slots> out;
  for (const IntegerFrequencies& table : tables.tables) {
    Slots s;
    uint32_t sum = 0;
    for (size_t i = 0; i < table.size(); sum += table[i++]) s.first[i] = static_cast<uint16_t>(sum);
    out.push_back(s);
  }
  return out;
}

}  // namespace

Bytes encode_integer_panel(const IntegerTrellis& trellis, const IntegerTables& tables,
                           const IntegerClasses& classes, uint64_t first_row, uint64_t rows,
                           uint64_t cols, const int16_t* codes) {
  const uint64_t lanes = integer_lanes(rows * cols), width = std::min(lanes, kIntegerGroup);
  std::vector<uint64_t> odd(cols);
  for (uint64_t c = 0; c < cols; ++c) odd[c] = odd_states(trellis, codes + c * kIntegerRows, rows);
  const std::vector<Slots> slots = first_slots(tables);
  std::array<uint32_t, kIntegerLanes> lane;
  lane.fill(kIntegerStart);
  std::vector<uint16_t> words;  // last first
  // What codes column c of row r, and whether the code follows as it is.
  struct Symbol {
    uint32_t low_bits, frequency, first;
    bool escaped;
  };
  const auto symbol = [&](uint64_t r, uint64_t c) {
    const int k = integer_class(classes.rows[first_row + r], classes.columns[c]);
    const int b = low_bits_of(k);
    const uint8_t table = tables.of[odd[c] >> r & 1][static_cast<size_t>(k)];
    size_t place = symbol_place(integer_symbol(codes[c * kIntegerRows + r], b));
    if (tables.tables[table][place] == 0) place = symbol_place(kIntegerEscape);
    return Symbol{static_cast<uint32_t>(b), tables.tables[table][place], slots[table].first[place],
                  place == symbol_place(kIntegerEscape)};
  };
  std::array<Symbol, kIntegerGroup> group;
  for (uint64_t r = rows; r-- > 0;) {
    for (uint64_t end = cols; end > 0;) {
      const uint64_t begin = (end - 1) / width * width;
      for (uint64_t c = end; c-- > begin;) {
        group[c - begin] = symbol(r, c);
        if (group[c - begin].escaped)
          words.push_back(static_cast<uint16_t>(codes[c * kIntegerRows + r]));
      }
      for (uint64_t c = end; c-- > begin;) {
        const auto [b, f, first, escaped] = group[c - begin];
        uint32_t& x = lane[c & (lanes - 1)];
        if (x >= uint64_t{f} << (32 - kIntegerTotalLog - b)) {
          words.push_back(static_cast<uint16_t>(x));
          x >>= 16;
        }
        const uint32_t low = static_cast<uint32_t>(codes[c * kIntegerRows + r]) & ((1u << b) - 1);
        x = (x / f) << (kIntegerTotalLog + b) | (first + x % f) << b | low;
      }
      end = begin;
    }
  }
  Bytes out;
  ByteWriter to(out);
  for (uint64_t i = 0; i < lanes; ++i) to.u32(lane[i]);
  out.reserve(out.size() + 2 * words.size());
  for (size_t i = words.size(); i-- > 0;) to.u16(words[i]);
  return out;
}

}  // namespace pith::form
