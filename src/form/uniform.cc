#include "uniform.h"

#include <algorithm>
#include <cmath>

#include "grid.h"
#include "pith/form/arguments.h"
#include "scales.h"
#include "storage.h"

namespace pith::form {
namespace {

uint64_t scales_size(const UniformParameters& p, Shape shape) {
  const Shape groups = groups_of(p, shape);
  return checked_mul(checked_mul(groups.rows, groups.cols), scale_bytes(p.scale));
}

// Levels of all codes, 2^bits of them: codes that a grid does not have go on where it ends.
std::vector<float> all_levels(const UniformParameters& p, const std::vector<float>& own) {
  std::vector<float> levels = own.empty() ? grid_levels(p.grid, p.bits, !p.zero) : own;
  while (levels.size() < size_t{1} << p.bits)
    levels.push_back(2 * levels.back() - levels[levels.size() - 2]);
  return levels;
}

GroupFloats floats_of(const UniformParameters& p, Shape shape, const GroupValues& values) {
  const Shape groups = groups_of(p, shape);
  if (groups.size() == 0) return {};
  if (values.coded) {
    if (values.coded->shape() != groups) fail(ErrorKind::kData, "uniform: scales of another shape");
    return GroupFloats(values.coded->matrix());
  }
  if (p.group == kTensorGroup) return {p.scale, values.plain};
  return {groups, p.scale, values.plain};
}

PanelCodes read_codes(const UniformParameters& p, Shape shape, BodyReader& in) {
  if (in.varint(0, 1, "coded") == 0) {
    return {shape, p.bits, in.array(checked_mul(shape.rows, panel_row_bytes(shape.cols, p.bits)))};
  }
  Buffer ends = in.array(checked_mul(panels_of(shape.rows), sizeof(uint64_t)));
  Buffer streams = in.array(in.varint());
  return {shape, p.bits, std::move(ends), std::move(streams)};
}

}  // namespace

uint64_t group_length(const UniformParameters& p, uint64_t cols) {
  return p.group == kRowGroup ? cols : std::min(p.group, cols);
}

Shape groups_of(const UniformParameters& p, Shape shape) {
  if (shape.size() == 0) return {};
  if (p.group == kTensorGroup) return {1, 1};
  const uint64_t length = group_length(p, shape.cols);
  return {shape.rows, shape.cols / length + (shape.cols % length != 0)};
}

UniformForm::UniformForm(Shape shape, UniformParameters parameters, std::vector<float> levels,
                         PanelCodes codes, GroupValues scales, GroupValues zeros)
    : Form(shape),
      parameters_(std::move(parameters)),
      own_levels_(std::move(levels)),
      scales_(std::move(scales)),
      zeros_(std::move(zeros)) {
  const uint64_t group = std::max<uint64_t>(1, group_length(parameters_, shape.cols));
  matrix_ = std::make_shared<PanelMatrix>(
      shape, parameters_.bits, all_levels(parameters_, own_levels_), group, std::move(codes),
      floats_of(parameters_, shape, scales_),
      parameters_.zero ? floats_of(parameters_, shape, zeros_) : GroupFloats());
}

void UniformForm::decode(uint64_t first, uint64_t last, float* out) const {
  matrix_->decode(first, last, out);
}

void UniformForm::prepare(Activations& x) const {
  if (matrix_->multiplies()) x.quantize();
}

void UniformForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                           uint64_t stride) const {
  if (!matrix_->multiplies()) return Form::multiply(x, first, last, out, stride);
  matrix_->multiply(x.quantized(), first, last, out, stride);
}

void UniformForm::add_rows(const RowSums& sums) const {
  if (!matrix_->add_rows(sums)) Form::add_rows(sums);
}

void UniformForm::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(parameters_.bits));
  to.varint(parameters_.group);
  to.varint(parameters_.zero);
  to.string(parameters_.grid);
  for (const float level : own_levels_) to.f32(level);
  to.varint(parameters_.coded_scales.has_value());
  if (parameters_.coded_scales) {
    to.form(*scales_.coded);
    if (parameters_.zero) to.form(*zeros_.coded);
  } else {
    to.varint(static_cast<uint64_t>(parameters_.scale));
    to.array(scales_.plain.bytes);
    if (parameters_.zero) to.array(zeros_.plain.bytes);
  }
  const PanelCodes& codes = matrix_->packed();
  to.varint(codes.is_coded());
  if (codes.is_coded()) {
    to.array(codes.ends().bytes);
    to.varint(codes.bytes().size());
  }
  to.array(codes.bytes().bytes);
}

FormPtr UniformForm::read(Shape shape, BodyReader& in) {
  UniformParameters p;
  p.bits = static_cast<int>(in.varint(1, 8, "bits"));
  p.group = in.varint();
  if (p.group != kTensorGroup && p.group > kMostElements) in.bad("groups of impossible size");
  p.zero = in.varint(0, 1, "zero") != 0;
  p.grid = in.string();
  std::vector<float> levels;
  if (p.grid == "kmeans") {
    for (int i = 0; i < 1 << p.bits; ++i) {
      levels.push_back(in.f32());
      if (!std::isfinite(levels.back())) in.bad("a level that is no number");
    }
  } else if (!is_grid(p.grid, p.bits)) {
    in.bad("no such grid");
  }
  GroupValues scales, zeros;
  if (in.varint(0, 1, "coded scales") != 0) {
    if (shape.size() == 0 || p.group == kTensorGroup) in.bad("coded scales of nothing");
    const auto coded = [&] {
      auto form = std::dynamic_pointer_cast<const UniformForm>(in.form());
      if (!form || form->shape() != groups_of(p, shape)) in.bad("scales that do not fit");
      return form;
    };
    scales.coded = coded();
    p.coded_scales = scales.coded->expression();
    if (p.zero) zeros.coded = coded();
    if (p.zero && zeros.coded->expression() != *p.coded_scales)
      in.bad("zero points of another form");
  } else {
    const DTypeInfo* scale = find_dtype(static_cast<uint8_t>(in.varint(0, 255, "scales")));
    if (!scale || !is_scale_type(scale->dtype) || (p.zero && scale->dtype == DType::kF8E8M0)) {
      in.bad("scales of a type that cannot be");
    }
    p.scale = scale->dtype;
    scales.plain = in.array(scales_size(p, shape));
    if (p.zero) zeros.plain = in.array(scales_size(p, shape));
  }
  PanelCodes codes = read_codes(p, shape, in);
  return std::make_shared<UniformForm>(shape, std::move(p), std::move(levels), std::move(codes),
                                       std::move(scales), std::move(zeros));
}

Expression UniformForm::expression() const {
  const UniformParameters& p = parameters_;
  std::vector<Argument> args = {{"", p.bits}};
  const auto add = [&](std::string key, Value v) {
    args.push_back({std::move(key), std::move(v)});
  };
  if (p.group == kRowGroup) {
    add("group", Expression::call("row"));
  } else if (p.group == kTensorGroup) {
    add("group", Expression::call("tensor"));
  } else {
    add("group", p.group);
  }
  if (p.zero) add("zero", Expression::call("true"));
  if (p.grid != "uniform") add("grid", Expression::call(p.grid));
  if (p.coded_scales) {
    add("scales", *p.coded_scales);
  } else if (p.scale != DType::kF16) {
    add("scales", Expression::call(std::string(info(p.scale).name)));
  }
  Expression uniform = Expression::call("uniform", std::move(args));
  if (!matrix_->packed().is_coded()) return uniform;
  return Expression::coder(std::move(uniform), Expression::call("rans"));
}

FormPtr UniformForm::code(const Expression& coder, const FormPtr& form) {
  const Arguments none(coder, {});
  const auto* uniform = dynamic_cast<const UniformForm*>(form.get());
  if (!uniform || uniform->matrix_->packed().is_coded()) {
    throw coder.place().error(ErrorKind::kUsage, "rans codes the integers of a uniform form");
  }
  return std::make_shared<UniformForm>(form->shape(), uniform->parameters_, uniform->own_levels_,
                                       uniform->matrix_->packed().coded(), uniform->scales_,
                                       uniform->zeros_);
}

}  // namespace pith::form
