#include "sparse_values.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "dense.h"
#include "sparse.h"

namespace pith::form {
namespace {

constexpr uint64_t kLine = 256;
constexpr float kMostF16 = 65504;
constexpr std::array<std::string_view, 3> kTypes = {"f16", "bf16", "f32"};
// Values that kernels may read beyond the last one that they want.
constexpr uint64_t kSlack = 16;

}  // namespace

Shape folded(uint64_t n) {
  if (n < kLine) return {n > 0 ? uint64_t{1} : 0, n};
  return {n / kLine + (n % kLine != 0), kLine};
}

Expression values_argument(const Arguments& args) {
  const Expression given = args.expression("values", Expression::call("f16"));
  const bool type = given.is_name() && std::ranges::find(kTypes, given.name()) != kTypes.end();
  return type ? Expression::call("dense", {{"", Value(given)}}, given.place()) : given;
}

void add_values_argument(const Form& values, std::vector<Argument>& args) {
  const Expression form = values.expression();
  const Value* only = form.is_call() && form.name() == "dense" && form.arguments().size() == 1
                          ? form.argument(size_t{0})
                          : nullptr;
  const auto* type = only ? only->get_if<Expression>() : nullptr;
  const bool plain = type && std::ranges::find(kTypes, type->name()) != kTypes.end();
  if (plain && type->name() == kTypes[0]) return;
  args.push_back({"values", plain ? Value(*type) : Value(form)});
}

void clamp_for(const Expression& form, std::vector<float>& values) {
  if (form != Expression::call("dense", {{"", Value(Expression::call("f16"))}})) return;
  for (float& v : values) v = std::clamp(v, -kMostF16, kMostF16);
}

FormPtr encode_folded(const Expression& form, const std::vector<float>& values) {
  Matrix lines(folded(values.size()));
  std::ranges::copy(values, lines.values.begin());
  clamp_for(form, lines.values);
  return form::encode(form, lines.view());
}

std::vector<uint64_t> largest_elements(MatrixView matrix, double share) {
  std::vector<float> size(matrix.shape.size());
  std::transform(matrix.data, matrix.data + size.size(), size.begin(),
                 [](float v) { return std::fabs(v); });
  const std::vector<bool> keep = largest(size, count_of(share, size.size()));
  std::vector<uint64_t> kept;
  for (uint64_t i = 0; i < size.size(); ++i) {
    if (keep[i] && matrix.data[i] != 0) kept.push_back(i);
  }
  return kept;
}

std::vector<float> gathered(MatrixView matrix, const std::vector<uint64_t>& elements) {
  std::vector<float> values;
  for (const uint64_t i : elements) values.push_back(matrix.data[i]);
  return values;
}

PackedValues values_at(const Form& form, uint64_t first, uint64_t last,
                       std::vector<float>& scratch) {
  if (const auto* dense = dynamic_cast<const DenseForm*>(&form)) {
    const uint64_t width = info(dense->type()).block_bytes;
    return {dense->values().data() + first * width, dense->type(),
            dense->values().size() / width - first};
  }
  const uint64_t cols = form.shape().cols;
  if (first == last) return {};
  const uint64_t begin = first / cols, end = (last + cols - 1) / cols;
  scratch.resize((end - begin) * cols + kSlack);
  form.decode(begin, end, scratch.data());
  return {reinterpret_cast<const uint8_t*>(scratch.data() + (first - begin * cols)), DType::kF32,
          last - first + kSlack};
}

}  // namespace pith::form
