#include "pith/audit/planes.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"

namespace pith::audit {
namespace {

constexpr uint64_t kBlockElements = 32768;

double entropy(const std::vector<uint64_t>& counts) {
  double total = 0, sum = 0;
  for (const uint64_t c : counts) {
    if (c == 0) continue;
    total += static_cast<double>(c);
    sum += static_cast<double>(c) * std::log2(static_cast<double>(c));
  }
  return total > 0 ? total * std::log2(total) - sum : 0;  // bits in all
}

uint64_t element(const uint8_t* p, uint64_t width) {
  uint64_t v = 0;
  std::memcpy(&v, p, width);
  return v;
}

}  // namespace

double FloatLimits::raw_mantissa_bits() const { return exponent_blocks + 1 + mantissa_width; }
double FloatLimits::conditional_mantissa_bits() const {
  return exponent_blocks + sign + mantissa_given_exponent;
}

FloatLimits float_limits(ByteView raw, DType dtype) {
  const DTypeInfo& t = info(dtype);
  if (t.kind != NumberKind::kFloat) fail(ErrorKind::kUsage, "{} is not a float type", t.name);
  FloatLimits limits;
  limits.exponent_width = t.exponent_bits;
  limits.mantissa_width = t.mantissa_bits;
  const uint64_t n = limits.elements = raw.size() / t.block_bytes;
  if (n == 0) return limits;
  const uint64_t exponents = uint64_t{1} << t.exponent_bits;
  const int seen = std::min<int>(t.mantissa_bits, 8), rest = t.mantissa_bits - seen;
  std::vector<uint64_t> sign(2), exponent(exponents), block(exponents),
      mantissa(uint64_t{1} << seen);
  std::vector<std::vector<uint64_t>> given(exponents, std::vector<uint64_t>(uint64_t{1} << seen));
  double blocks = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t v = element(raw.data() + i * t.block_bytes, t.block_bytes);
    const uint64_t e = v >> t.mantissa_bits & (exponents - 1),
                   m = v >> rest & ((uint64_t{1} << seen) - 1);
    ++sign[v >> (t.mantissa_bits + t.exponent_bits) & 1];
    ++exponent[e];
    ++block[e];
    ++mantissa[m];
    ++given[e][m];
    if ((i + 1) % kBlockElements == 0 || i + 1 == n) {
      const auto used = std::ranges::count_if(block, [](uint64_t c) { return c > 0; });
      blocks += entropy(block) + 8 * static_cast<double>(used) + 16;
      std::ranges::fill(block, 0);
    }
  }
  const double each = static_cast<double>(n);
  limits.sign = entropy(sign) / each;
  limits.exponent = entropy(exponent) / each;
  limits.exponent_blocks = blocks / each;
  limits.mantissa = entropy(mantissa) / each + rest;
  for (const auto& g : given) limits.mantissa_given_exponent += entropy(g) / each;
  limits.mantissa_given_exponent += rest;
  return limits;
}

FloatLimits combine(const std::vector<FloatLimits>& parts) {
  FloatLimits sum;
  for (const FloatLimits& p : parts) sum.elements += p.elements;
  for (const FloatLimits& p : parts) {
    const double share =
        static_cast<double>(p.elements) / static_cast<double>(std::max<uint64_t>(1, sum.elements));
    sum.sign += share * p.sign;
    sum.exponent += share * p.exponent;
    sum.exponent_blocks += share * p.exponent_blocks;
    sum.mantissa += share * p.mantissa;
    sum.mantissa_given_exponent += share * p.mantissa_given_exponent;
    sum.exponent_width = p.exponent_width;
    sum.mantissa_width = p.mantissa_width;
  }
  return sum;
}

std::vector<double> plane_entropies(ByteView raw, int width) {
  std::vector<double> planes;
  const auto w = static_cast<uint64_t>(width);
  const uint64_t elements = raw.size() / w;
  for (uint64_t p = 0; p < w; ++p) {
    std::vector<uint64_t> counts(256);
    for (uint64_t i = w - 1 - p; i < raw.size(); i += w) ++counts[raw[i]];
    planes.push_back(elements > 0 ? entropy(counts) / static_cast<double>(elements) : 0);
  }
  return planes;
}

}  // namespace pith::audit
