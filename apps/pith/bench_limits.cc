#include "bench_limits.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <map>
#include <numeric>

#include "pith/audit/planes.h"

namespace pith::bench {
namespace {

// Rarer types tell nothing about a coder.
constexpr double kShare = 0.01;

std::map<DType, Bytes> by_type(ByteView file, std::span<const io::TensorRegion> tensors) {
  std::map<DType, Bytes> data;
  for (const auto& t : tensors) {
    if (t.big_endian) continue;
    const ByteView raw = file.subspan(t.offset, t.size);
    data[t.dtype].insert(data[t.dtype].end(), raw.begin(), raw.end());
  }
  return data;
}

std::string list(const std::vector<double>& bits) {
  std::vector<std::string> parts;
  parts.reserve(bits.size());
  for (const double b : bits) parts.push_back(fmt::format("{:.2f}", b));
  return fmt::format("{}", fmt::join(parts, " "));
}

struct Limits {
  double planes = 0, raw_mantissa = 0, conditional = 0;  // ratios; 0: does not apply
};

Limits limits_of(const Bytes& raw, const DTypeInfo& type, Report& report) {
  const double bits = 8.0 * type.block_bytes;
  const std::vector<double> planes =
      audit::plane_entropies(raw, static_cast<int>(type.block_bytes));
  const double sum = std::accumulate(planes.begin(), planes.end(), 0.0);
  Limits limits{sum > 0 ? bits / sum : 0, 0, 0};
  if (planes.size() <= 8) {
    report.note(fmt::format("{}: {} bits in the byte planes, most significant first", type.name,
                            list(planes)));
  }
  if (type.kind != NumberKind::kFloat || type.exponent_bits == 0) return limits;
  const audit::FloatLimits f = audit::float_limits(raw, type.dtype);
  report.note(fmt::format(
      "{}: sign {:.3f}, exponent {:.3f} (a table for each 32768: {:.3f}), mantissa {:.3f} "
      "({:.3f} given the exponent) bits",
      type.name, f.sign, f.exponent, f.exponent_blocks, f.mantissa, f.mantissa_given_exponent));
  limits.raw_mantissa = bits / f.raw_mantissa_bits();
  limits.conditional = bits / f.conditional_mantissa_bits();
  return limits;
}

}  // namespace

void report_limits(ByteView file, std::span<const io::TensorRegion> tensors,
                   const std::vector<Reached>& reached, Report& report) {
  std::vector<std::string> columns = {"tensors of type", "bytes", "limit: byte planes",
                                      "limit: raw mantissa", "limit: mantissa given exponent"};
  for (const Reached& r : reached) columns.push_back(r.name);
  Table table(columns);
  bool any = false;
  for (const auto& [dtype, raw] : by_type(file, tensors)) {
    const DTypeInfo& type = info(dtype);
    if (static_cast<double>(raw.size()) < kShare * static_cast<double>(file.size())) continue;
    const Limits l = limits_of(raw, type, report);
    const auto cell = [](double r) { return r > 0 ? ratio(r) : none(); };
    std::vector<Cell> row = {text(std::string(type.name)), count(raw.size()), cell(l.planes),
                             cell(l.raw_mantissa), cell(l.conditional)};
    for (const Reached& r : reached) {
      const uint64_t bytes = r.bytes(dtype);
      row.push_back(bytes == 0
                        ? none()
                        : ratio(static_cast<double>(raw.size()) / static_cast<double>(bytes)));
    }
    table.add(std::move(row));
    any = true;
  }
  if (any) report.table(table);
}

}  // namespace pith::bench
