#include "nibble_rans_scalar.h"

#include <algorithm>

namespace pith::entropy {

NibbleDecodeTable::NibbleDecodeTable(const NibbleTable& table)
    : entries(table.entries()), escape(table.escape ? table.direct : 255) {
  uint32_t slot = 0;
  for (uint32_t i = 0; i < entries; ++i) {
    frequency[i] = static_cast<uint8_t>(table.frequency[i]);
    first_slot[i] = static_cast<uint8_t>(slot);
    symbol[i] = table.symbol[i];
    std::fill_n(entry_of_slot.begin() + slot, table.frequency[i], static_cast<uint8_t>(i));
    slot += table.frequency[i];
  }
}

NibbleEncodeTable::NibbleEncodeTable(const NibbleTable& table)
    : entries(table.entries()), direct(table.direct), escape(table.escape ? table.direct : 255) {
  entry_of_symbol.fill(static_cast<uint8_t>(table.direct % kNibbleEntries));
  symbol = table.symbol;
  uint32_t slot = 0;
  for (uint32_t i = 0; i < entries; ++i) {
    const uint32_t f = table.frequency[i];
    const bool one = f == 1;
    if (i < direct) entry_of_symbol[table.symbol[i]] = static_cast<uint8_t>(i);
    frequency[i] = static_cast<uint8_t>(f);
    // f = 1: x * 65535 >> 16 is x - 1, and the remainder then comes out one too large.
    plus[i] = one ? 1 : 0;
    bias[i] = static_cast<uint8_t>(slot - (one ? 1 : 0));
    shift[i] = static_cast<uint16_t>(nibble_shift(f));
    const uint32_t scale = uint32_t{1} << (16 + shift[i]);
    reciprocal[i] = static_cast<uint16_t>(one ? 65535 : scale / f + (scale % f != 0 ? 1 : 0));
    slot += f;
  }
}

namespace {

// One slot of the scalar decoder: x becomes frequency * (x >> 8) + offset.
struct Slot {
  uint8_t frequency, offset, symbol, escape;
};

}  // namespace

bool nibble_decode_scalar(const NibbleDecodeTable& t, NibbleDecoder& d, uint8_t* out, size_t from,
                          size_t n) {
  if (from >= n) return true;
  std::array<Slot, 256> slots;
  for (uint32_t s = 0; s < 256; ++s) {
    const uint8_t e = t.entry_of_slot[s];
    slots[s] = {t.frequency[e], static_cast<uint8_t>(s - t.first_slot[e]), t.symbol[e],
                static_cast<uint8_t>(e == t.escape)};
  }
  // Copies: stores of symbols could otherwise change anything, as far as the compiler knows.
  std::array<uint16_t, kNibbleLanes> states = d.state;
  const uint8_t *in = d.in, *const in_end = d.in_end;
  const uint8_t *escapes = d.escapes, *const escapes_end = d.escapes_end;
  const size_t mask = d.lanes - 1;
  for (size_t i = from; i < n;) {
    // While a byte is left for each, a run of symbols needs no check.
    const size_t run = std::min<size_t>(n - i, static_cast<size_t>(in_end - in));
    const size_t end = i + std::max<size_t>(run, 1);
    for (; i < end; ++i) {
      uint32_t x = states[i & mask];
      const Slot slot = slots[x & 0xff];
      x = slot.frequency * (x >> 8) + slot.offset;
      out[i] = slot.symbol;
      if (slot.escape) {
        if (escapes == escapes_end) return false;
        out[i] = *escapes++;
      }
      if (run == 0) {
        if (x < 256) return false;
      } else {
        const uint32_t low = x < 256 ? 1 : 0;  // a branch on it would be mispredicted often
        x = x << (8 * low) | (*in & (0 - low));
        in += low;
      }
      states[i & mask] = static_cast<uint16_t>(x);
    }
  }
  d.in = in;
  d.escapes = escapes;
  d.state = states;
  return true;
}

namespace {

// One symbol of the scalar encoder.
struct alignas(8) Step {
  uint16_t reciprocal;
  uint8_t shift, frequency, bias, plus, escape;
};

std::array<Step, 256> make_steps(const NibbleEncodeTable& t) {
  std::array<Step, 256> steps;
  for (uint32_t v = 0; v < 256; ++v) {
    const uint8_t k = t.entry_of_symbol[v];
    steps[v] = {t.reciprocal[k], static_cast<uint8_t>(t.shift[k]),   t.frequency[k], t.bias[k],
                t.plus[k],       static_cast<uint8_t>(k == t.escape)};
  }
  return steps;
}

}  // namespace

void nibble_encode_scalar(const NibbleEncodeTable& t, NibbleEncoder& e, const uint8_t* symbols,
                          size_t to, size_t n) {
  if (to >= n) return;
  const std::array<Step, 256> steps = make_steps(t);
  std::array<uint16_t, kNibbleLanes> states = e.state;  // copies, as in the decoder
  const size_t mask = e.lanes - 1;
  uint8_t *out = e.out, *escapes = e.escapes;
  for (size_t i = n; i-- > to;) {
    const Step& s = steps[symbols[i]];
    if (s.escape != 0) *--escapes = symbols[i];
    uint32_t x = states[i & mask];
    const uint32_t full = x >= uint32_t{s.frequency} << 8 ? 1 : 0;
    out[-1] = static_cast<uint8_t>(x);
    out -= full;
    x >>= 8 * full;
    const uint32_t q = (x * s.reciprocal) >> 16 >> s.shift;
    const uint32_t low = (x - q * s.frequency + s.bias) & 0xff;
    states[i & mask] = static_cast<uint16_t>((q + s.plus) << 8 | low);
  }
  e.out = out;
  e.escapes = escapes;
  e.state = states;
}

}  // namespace pith::entropy
