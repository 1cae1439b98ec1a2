#include "context_mix_plan.h"

namespace pith::lossless::cm {
namespace {

// The trial codes a quarter of a chunk, but within these numbers of elements.
constexpr uint64_t kTrialLeast = 1 << 12, kTrialMost = 1 << 15;
// A mantissa bit is modelled when the trial saves this share of it, in units of 2^-12.
constexpr uint64_t kWorthwhile = 3;

// The largest exponents up to 1/32 of the elements are outliers; the next one anchors the line.
uint32_t reference_exponent(const std::vector<uint32_t>& counts, uint64_t n) {
  uint64_t above = 0;
  for (size_t e = counts.size(); e-- > 0;) {
    above += counts[e];
    if (above * 32 >= n) return uint32_t(e);
  }
  return 0;
}

// Sets the modes of mantissa bits, and whether equality is coded, by coding a stretch of elements.
void choose_modes(const Elements& elements, const Elements* base, FloatPlan& plan) {
  const uint64_t n = elements.size();
  uint64_t ones = 0, equal = 0;
  for (uint64_t i = 0; i < n; ++i) {
    ones |= elements[i];
    if (base != nullptr) equal += elements[i] == (*base)[i];
  }
  plan.code_equal = equal * 5 > n * 2;
  const uint32_t m = plan.mantissa_bits;
  for (uint32_t k = 0; k < m; ++k) {
    plan.mode[k] = (ones >> (m - 1 - k) & 1) != 0 ? BitMode::kModelled : BitMode::kZero;
  }
  const uint64_t count = std::min(n, std::clamp(n / 4, kTrialLeast, kTrialMost));
  uint64_t start = (n - count) / 2;
  if (plan.row > 0) start -= start % plan.row;
  FloatModel model(plan);
  CostPort port;
  uint64_t coded = 0;
  for (uint64_t i = start; i < start + count; ++i) {
    if (i == start + count / 2) {  // what learning cost is left out of the verdict
      port.part.fill(0);
      coded = 0;
    }
    const uint64_t b = base != nullptr ? (*base)[i] : 0;
    model.code(port, elements[i], b);
    coded += !plan.code_equal || elements[i] != b;
  }
  for (uint32_t k = 0; k < m; ++k) {
    const uint64_t raw = coded << 12;
    if (plan.mode[k] == BitMode::kModelled && port.part[2 + k] + coded * kWorthwhile > raw) {
      plan.mode[k] = BitMode::kRaw;
    }
  }
}

void write_weights(ByteWriter& out, const std::vector<uint32_t>& weights) {
  for (uint32_t w : weights) out.u8(weight_code(w));
}

std::vector<uint32_t> read_weights(ByteReader& in, size_t n) {
  std::vector<uint32_t> weights;
  for (uint8_t code : in.bytes(n)) {
    if (code > 31 * 4 + 3) in.bad("a weight is out of range");
    weights.push_back(weight_of(code));
  }
  return weights;
}

}  // namespace

uint64_t usable_row(uint64_t row, uint64_t elements) {
  return row >= 2 && row <= elements / 2 ? row : 0;
}

uint8_t weight_code(uint64_t count) {
  const uint64_t c = std::clamp<uint64_t>(count, 1, UINT32_MAX);
  const int top = int(std::bit_width(c)) - 1;
  return uint8_t(top * 4 + int(top >= 2 ? (c >> (top - 2)) & 3 : (c << (2 - top)) & 3));
}

uint32_t weight_of(uint8_t code) {
  const uint64_t v = uint64_t(4 + (code & 3)) << (code >> 2);
  return std::max(1u, uint32_t(v >> 2));
}

std::optional<FloatPlan> plan_floats(const Elements& elements, const ElementLayout& layout,
                                     const Elements* base) {
  FloatPlan plan;
  plan.exponent_bits = layout.exponent_bits;
  plan.mantissa_bits = layout.mantissa_bits;
  plan.row = usable_row(layout.row, elements.size());
  plan.with_base = base != nullptr;
  std::vector<uint32_t> counts(size_t{1} << layout.exponent_bits, 0);
  for (uint64_t i = 0; i < elements.size(); ++i) {
    ++counts[(elements[i] >> layout.mantissa_bits) & (counts.size() - 1)];
  }
  for (size_t e = 0; e < counts.size(); ++e) {
    if (counts[e] == 0) continue;
    plan.exponents.push_back(uint16_t(e));
    plan.weights.push_back(weight_of(weight_code(counts[e])));
  }
  if (plan.exponents.size() > 256) return std::nullopt;
  plan.reference = reference_exponent(counts, elements.size());
  choose_modes(elements, base, plan);
  return plan;
}

BytePlan plan_bytes(const Elements& elements, uint32_t width, uint64_t row, bool with_base) {
  BytePlan plan;
  plan.width = width;
  plan.row = usable_row(row, elements.size());
  plan.with_base = with_base;
  for (uint32_t p = 0; p < width; ++p) {
    std::array<uint32_t, 256> counts{};
    for (uint64_t i = 0; i < elements.size(); ++i) {
      ++counts[(elements[i] >> (8 * (width - 1 - p))) & 255];
    }
    BytePlane plane;
    plane.center = uint8_t(std::max_element(counts.begin(), counts.end()) - counts.begin());
    for (int v = -128; v < 128; ++v) {
      const uint8_t symbol = uint8_t(v + plane.center);
      if (counts[symbol] == 0) continue;
      plane.symbols.push_back(symbol);
      plane.weights.push_back(weight_of(weight_code(counts[symbol])));
    }
    plan.planes.push_back(std::move(plane));
  }
  return plan;
}

void write_plan(ByteWriter& out, const FloatPlan& plan) {
  out.u8(plan.code_equal ? 1 : 0);
  out.varint(plan.exponents.size() - 1);
  uint32_t next = 0;
  for (uint16_t e : plan.exponents) {
    out.varint(e - next);
    next = e + 1u;
  }
  write_weights(out, plan.weights);
  out.varint(plan.reference);
  for (uint32_t k = 0; k < plan.mantissa_bits; k += 4) {
    uint8_t four = 0;
    for (uint32_t j = 0; j < 4 && k + j < plan.mantissa_bits; ++j) {
      four |= uint8_t(uint32_t(plan.mode[k + j]) << (2 * j));
    }
    out.u8(four);
  }
}

void read_plan(ByteReader& in, FloatPlan& plan) {
  const uint8_t flags = in.u8();
  if (flags > (plan.with_base ? 1 : 0)) in.bad("unknown flags");
  plan.code_equal = flags == 1;
  const uint64_t count = in.varint();
  if (count > 255) in.bad("too many exponents");
  uint64_t next = 0;
  for (uint64_t i = 0; i <= count; ++i) {
    const uint64_t gap = in.varint();
    if (gap >= (uint64_t{1} << plan.exponent_bits) - next) in.bad("an exponent is out of range");
    plan.exponents.push_back(uint16_t(next + gap));
    next += gap + 1;
    if (next >> plan.exponent_bits != 0 && i < count) in.bad("an exponent is out of range");
  }
  plan.weights = read_weights(in, plan.exponents.size());
  const uint64_t reference = in.varint();
  if (reference >> plan.exponent_bits != 0) in.bad("the reference exponent is out of range");
  plan.reference = uint32_t(reference);
  for (uint32_t k = 0; k < plan.mantissa_bits; k += 4) {
    const uint8_t four = in.u8();
    for (uint32_t j = 0; j < 4 && k + j < plan.mantissa_bits; ++j) {
      const uint32_t mode = (four >> (2 * j)) & 3;
      if (mode > 2) in.bad("an unknown mode of a mantissa bit");
      plan.mode[k + j] = BitMode(mode);
    }
  }
}

// A plane: its center, the number of symbols less one, the symbols as gaps (none when all 256
// occur), the weights.
void write_plan(ByteWriter& out, const BytePlan& plan) {
  for (const BytePlane& plane : plan.planes) {
    out.u8(plane.center);
    out.u8(uint8_t(plane.symbols.size() - 1));
    int next = -128;
    for (uint8_t symbol : plane.symbols) {
      if (plane.symbols.size() == 256) break;
      const int8_t v = int8_t(symbol - plane.center);
      out.u8(uint8_t(v - next));
      next = v + 1;
    }
    write_weights(out, plane.weights);
  }
}

void read_plan(ByteReader& in, BytePlan& plan) {
  for (uint32_t p = 0; p < plan.width; ++p) {
    BytePlane plane;
    plane.center = in.u8();
    const size_t count = size_t{in.u8()} + 1;
    int next = -128;
    for (size_t i = 0; i < count; ++i) {
      const int v = next + (count == 256 ? 0 : int(in.u8()));
      if (v > 127) in.bad("a symbol is out of range");
      plane.symbols.push_back(uint8_t(v + plane.center));
      next = v + 1;
    }
    plane.weights = read_weights(in, count);
    plan.planes.push_back(std::move(plane));
  }
}

}  // namespace pith::lossless::cm
