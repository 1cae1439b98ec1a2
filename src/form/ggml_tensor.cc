#include "pith/form/ggml_tensor.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "dense.h"
#include "ggml.h"
#include "pith/base/half.h"
#include "scales.h"
#include "uniform.h"

namespace pith::form {
namespace {

// A block type with one scale, and perhaps a least element, for 32 elements.
struct Simple {
  DType type;
  bool zero;
  int least, most;  // levels
};
constexpr Simple kSimple[] = {
    {DType::kQ4_0, false, -8, 7}, {DType::kQ5_0, false, -16, 15}, {DType::kQ8_0, false, -127, 127},
    {DType::kQ4_1, true, 0, 15},  {DType::kQ5_1, true, 0, 31},
};
constexpr uint64_t kBlock = 32;

const Simple* type_of(const UniformForm& form) {
  const UniformParameters& p = form.parameters();
  const std::vector<float>& levels = form.levels();
  for (const float l : levels) {
    if (l != std::round(l)) return nullptr;
  }
  const auto* found = std::ranges::find_if(kSimple, [&](const Simple& s) {
    return s.zero == p.zero && levels.front() >= static_cast<float>(s.least) &&
           levels.back() <= static_cast<float>(s.most);
  });
  if (found != std::end(kSimple)) return found;
  // Codes of eight bits reach to -128, which few of them are.
  return !p.zero && p.bits == 8 && p.grid == "uniform" ? &kSimple[2] : nullptr;
}

class UniformBlocks {
 public:
  UniformBlocks(const UniformForm& form, const Simple& type)
      : form_(form), type_(type), levels_(form.levels()) {}

  // Nothing where a number does not fit; what fits is checked by decoding it.
  std::optional<GgmlTensor> convert() {
    const Shape shape = form_.shape();
    std::vector<uint8_t> codes(shape.cols);
    Bytes out;
    out.reserve(shape.size() / kBlock * info(type_.type).block_bytes);
    for (uint64_t r = 0; r < shape.rows; ++r) {
      form_.matrix()->codes(r, codes.data());
      for (uint64_t at = 0; at < shape.cols; at += kBlock) {
        if (!block(r, at, codes.data() + at, out)) return std::nullopt;
      }
    }
    return GgmlTensor{type_.type, Buffer(std::move(out))};
  }

 private:
  bool block(uint64_t row, uint64_t at, const uint8_t* codes, Bytes& out) const {
    std::array<int, kBlock> levels;
    for (size_t j = 0; j < kBlock; ++j) {
      levels[j] = static_cast<int>(levels_[codes[j]]);
      if (levels[j] < type_.least || levels[j] > type_.most) return false;
    }
    ByteWriter to(out);
    for (const float v : form_.matrix()->scale_and_zero(row, at)) {
      const uint16_t half = f16_from_float(v);
      if (std::bit_cast<uint32_t>(float_from_f16(half)) != std::bit_cast<uint32_t>(v)) return false;
      to.u16(half);
      if (!type_.zero) break;
    }
    if (type_.type == DType::kQ8_0) {
      for (const int l : levels) to.u8(static_cast<uint8_t>(l));
      return true;
    }
    if (type_.most - type_.least == 31) {
      uint32_t high = 0;
      for (size_t j = 0; j < kBlock; ++j) {
        high |= static_cast<uint32_t>(levels[j] - type_.least) >> 4 << j;
      }
      to.u32(high);
    }
    for (size_t j = 0; j < kBlock / 2; ++j) {
      const int low = levels[j] - type_.least, top = levels[j + kBlock / 2] - type_.least;
      to.u8(static_cast<uint8_t>((low & 15) | (top & 15) << 4));
    }
    return true;
  }

  const UniformForm& form_;
  const Simple& type_;
  const std::vector<float>& levels_;
};

// Whether both decode to the same floats.
bool same(const Form& a, const Form& b) {
  const Shape shape = a.shape();
  std::vector<float> one(shape.cols), other(shape.cols);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    a.decode(r, r + 1, one.data());
    b.decode(r, r + 1, other.data());
    if (one != other) return false;  // 0 and -0 are the same, NaN is not
  }
  return true;
}

std::optional<GgmlTensor> blocks_of(const UniformForm& form) {
  const UniformParameters& p = form.parameters();
  const uint64_t cols = form.shape().cols;
  const bool whole = p.group == kRowGroup || p.group == kTensorGroup || p.group % kBlock == 0;
  const Simple* type = whole && cols % kBlock == 0 ? type_of(form) : nullptr;
  if (!type) return std::nullopt;
  auto tensor = UniformBlocks(form, *type).convert();
  if (!tensor || !same(form, GgmlForm(form.shape(), tensor->type, tensor->data))) {
    return std::nullopt;
  }
  return tensor;
}

}  // namespace

std::optional<GgmlTensor> as_ggml(const Form& form) {
  if (const auto* dense = dynamic_cast<const DenseForm*>(&form)) {
    return GgmlTensor{dense->type(), dense->values()};
  }
  if (const auto* ggml = dynamic_cast<const GgmlForm*>(&form)) {
    return GgmlTensor{ggml->type(), ggml->blocks()};
  }
  if (const auto* uniform = dynamic_cast<const UniformForm*>(&form)) return blocks_of(*uniform);
  return std::nullopt;
}

bool is_ggml_target(DType type) { return is_dense_type(type) || is_ggml_type(type); }

Buffer to_ggml(DType type, MatrixView matrix) {
  const bool dense = is_dense_type(type);
  const FormPtr form =
      encode(Expression::call(dense ? "dense" : "ggml",
                              {{"", Value(Expression::call(std::string(info(type).name)))}}),
             matrix);
  return as_ggml(*form)->data;
}

}  // namespace pith::form
