#include "uniform.h"

#include <algorithm>

#include "codes.h"
#include "grid.h"
#include "scales.h"
#include "storage.h"
#include "uniform_kernel.h"

namespace pith::form {
namespace {

uint64_t scales_size(const UniformParameters& p, Shape shape) {
  return checked_mul(groups_of(p, shape), (p.zero ? 2 : 1) * scale_bytes(p.scale));
}

uint64_t codes_size(const UniformParameters& p, Shape shape) {
  return checked_mul(shape.rows, code_row_bytes(shape.cols, p.bits));
}

}  // namespace

uint64_t group_length(const UniformParameters& p, uint64_t cols) {
  return p.group == kRowGroup ? cols : std::min(p.group, cols);
}

uint64_t groups_of_row(const UniformParameters& p, uint64_t cols) {
  const uint64_t length = group_length(p, cols);
  return length == 0 ? 0 : cols / length + (cols % length != 0);
}

uint64_t groups_of(const UniformParameters& p, Shape shape) {
  if (p.group == kTensorGroup) return shape.size() > 0 ? 1 : 0;
  return checked_mul(shape.rows, groups_of_row(p, shape.cols));
}

std::vector<float> levels_of(const UniformParameters& p) {
  std::vector<float> levels = grid_levels(p.grid, p.bits, !p.zero);
  while (levels.size() < size_t{1} << p.bits)
    levels.push_back(2 * levels.back() - levels[levels.size() - 2]);
  return levels;
}

UniformForm::UniformForm(Shape shape, UniformParameters parameters, Buffer codes, Buffer scales)
    : Form(shape),
      parameters_(std::move(parameters)),
      levels_(levels_of(parameters_)),
      codes_(std::move(codes)),
      scales_(std::move(scales)) {
  if (codes_.size() != codes_size(parameters_, shape) ||
      scales_.size() != scales_size(parameters_, shape)) {
    fail(ErrorKind::kData, "uniform: codes or scales of the wrong size");
  }
}

void UniformForm::codes(uint64_t row, uint8_t* out) const {
  const uint64_t bytes = code_row_bytes(shape().cols, parameters_.bits);
  unpack_row(codes_.data() + row * bytes, shape().cols, parameters_.bits, out);
}

std::array<float, 2> UniformForm::scale_and_zero(uint64_t row, uint64_t col) const {
  const UniformParameters& p = parameters_;
  const uint64_t cols = shape().cols, width = p.zero ? 2 : 1;
  const uint64_t group =
      p.group == kTensorGroup ? 0 : row * groups_of_row(p, cols) + col / group_length(p, cols);
  return {load_scale(scales_.data(), group * width, p.scale),
          p.zero ? load_scale(scales_.data(), group * width + 1, p.scale) : 0};
}

void UniformForm::decode_row(uint64_t row, float* out) const {
  const uint64_t cols = shape().cols, width = parameters_.zero ? 2 : 1;
  const uint64_t length = group_length(parameters_, cols);
  const uint64_t before =
      parameters_.group == kTensorGroup ? 0 : row * groups_of_row(parameters_, cols);
  thread_local std::vector<uint8_t> unpacked;
  unpacked.resize(cols);
  codes(row, unpacked.data());
  for (uint64_t g = 0, at = 0; at < cols; ++g, at += length) {
    const uint64_t index = (before + g) * width;
    const float scale = load_scale(scales_.data(), index, parameters_.scale);
    const float zero =
        parameters_.zero ? load_scale(scales_.data(), index + 1, parameters_.scale) : 0;
    for (uint64_t i = at; i < std::min(at + length, cols); ++i)
      out[i] = scale * levels_[unpacked[i]] + zero;
  }
}

void UniformForm::decode(uint64_t first, uint64_t last, float* out) const {
  for (uint64_t r = first; r < last; ++r) decode_row(r, out + (r - first) * shape().cols);
}

bool UniformForm::is_spaced() const {
  const float step = levels_[1] - levels_[0];
  for (size_t i = 2; i < levels_.size(); ++i) {
    if (levels_[i] - levels_[i - 1] != step) return false;
  }
  return group_length(parameters_, shape().cols) % kCodeBlock == 0 ||
         group_length(parameters_, shape().cols) == shape().cols;
}

void UniformForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                           uint64_t stride) const {
  if (!is_spaced()) return Form::multiply(x, first, last, out, stride);
  const uint64_t cols = shape().cols, blocks = (cols + kCodeBlock - 1) / kCodeBlock;
  const uint64_t width = parameters_.zero ? 2 : 1, length = group_length(parameters_, cols);
  const float step = levels_[1] - levels_[0];
  std::vector<float> scales(blocks), zeros(parameters_.zero ? blocks : 0), sums(x.batch());
  CodedRow row{nullptr, parameters_.bits, -levels_[0] / step, scales.data(),
               parameters_.zero ? zeros.data() : nullptr};
  for (uint64_t r = first; r < last; ++r) {
    const uint64_t before =
        parameters_.group == kTensorGroup ? 0 : r * groups_of_row(parameters_, cols);
    for (uint64_t b = 0; b < blocks; ++b) {
      const uint64_t index = (before + b * kCodeBlock / length) * width;
      scales[b] = step * load_scale(scales_.data(), index, parameters_.scale);
      if (parameters_.zero) zeros[b] = load_scale(scales_.data(), index + 1, parameters_.scale);
    }
    row.codes = codes_.data() + r * code_row_bytes(cols, parameters_.bits);
    multiply_row(row, cols, x.vectors(), sums.data());
    for (uint64_t b = 0; b < x.batch(); ++b) out[b * stride + r - first] = sums[b];
  }
}

void UniformForm::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(parameters_.bits));
  to.varint(parameters_.group);
  to.varint(parameters_.zero);
  to.string(parameters_.grid);
  to.varint(static_cast<uint64_t>(parameters_.scale));
  to.array(scales_.bytes);
  to.array(codes_.bytes);
}

FormPtr UniformForm::read(Shape shape, BodyReader& in) {
  UniformParameters p;
  p.bits = static_cast<int>(in.varint(1, 8, "bits"));
  p.group = in.varint();
  if (p.group != kTensorGroup && p.group > kMostElements) in.bad("groups of impossible size");
  p.zero = in.varint(0, 1, "zero") != 0;
  p.grid = in.string();
  if (!is_grid(p.grid, p.bits)) in.bad("no such grid");
  const DTypeInfo* scale = find_dtype(static_cast<uint8_t>(in.varint(0, 255, "scales")));
  if (!scale || !is_scale_type(scale->dtype) || (p.zero && scale->dtype == DType::kF8E8M0)) {
    in.bad("scales of a type that cannot be");
  }
  p.scale = scale->dtype;
  Buffer scales = in.array(scales_size(p, shape));
  Buffer codes = in.array(codes_size(p, shape));
  return std::make_shared<UniformForm>(shape, std::move(p), std::move(codes), std::move(scales));
}

}  // namespace pith::form
