// Uniform forms from their expressions, each element rounded to the nearest.
#include <algorithm>
#include <array>

#include "grid.h"
#include "panel.h"
#include "pith/form/arguments.h"
#include "pith/form/uniform_fit.h"
#include "scales.h"
#include "storage.h"
#include "uniform.h"

namespace pith::form {
namespace {

constexpr std::array<std::string_view, 9> kGrids = {
    "uniform", "positive", "gaussian", "kmeans", "nf4", "fp4", "fp8", "ternary", "binary"};
constexpr auto kMostGroup = static_cast<int64_t>(kMostElements);

uint64_t group_of(const Arguments& args) {
  const Value* group = args.find("group");
  if (!group) return 64;
  if (const auto* name = group->get_if<Expression>(); name && name->is_name()) {
    if (name->name() == "row") return kRowGroup;
    if (name->name() == "tensor") return kTensorGroup;
  }
  if (const auto* n = group->get_if<int64_t>(); n && *n >= 1 && *n <= kMostGroup) {
    return static_cast<uint64_t>(*n);
  }
  throw args.wrong("group", "a number of elements, `row` or `tensor`");
}

// `scales` is a type or a form.
void set_scales(const Arguments& args, UniformParameters& p) {
  const Value* scales = args.find("scales");
  if (!scales) return;
  const auto* form = scales->get_if<Expression>();
  if (form && form->is_call() && form->name() == "uniform") {
    if (p.group == kTensorGroup) throw args.wrong("scales", "a type, as there is a single one");
    p.coded_scales = *form;
    uniform_parameters(*form);  // its errors come first
    return;
  }
  const DTypeInfo* type = form && form->is_name() ? find_dtype(form->name()) : nullptr;
  if (!type || !is_scale_type(type->dtype))
    throw args.wrong("scales", "f32, f16, bf16, f8_e8m0 or uniform(...)");
  p.scale = type->dtype;
  if (p.zero && p.scale == DType::kF8E8M0) throw args.wrong("scales", "of a type with zero points");
}

}  // namespace

UniformParameters uniform_parameters(const Expression& call) {
  const Arguments args(call, {"bits", "group", "zero", "grid", "scales"});
  UniformParameters p;
  p.grid = kGrids[args.choice("grid", kGrids, 0)];
  const int own = grid_bits(p.grid);
  p.bits = static_cast<int>(
      args.integer("bits", 1, 8, own != 0 ? std::optional<int64_t>(own) : std::nullopt));
  if (p.grid != "kmeans" && !is_grid(p.grid, p.bits))
    throw args.wrong("bits", fmt::format("{}, as the grid {} has", own, p.grid));
  p.group = group_of(args);
  p.zero = args.flag("zero", false);
  set_scales(args, p);
  return p;
}

namespace {

void fit_scales(const UniformFit& fit, MatrixView matrix, Matrix& scales, Matrix& zeros) {
  const auto put = [&](uint64_t r, uint64_t g, std::span<const float> w) {
    const UniformScale s = fit.fit(w);
    scales.row(r)[g] = s.scale;
    zeros.row(r)[g] = s.zero;
  };
  const uint64_t cols = matrix.shape.cols, length = fit.group_length();
  if (scales.shape == Shape{1, 1}) return put(0, 0, {matrix.data, matrix.shape.size()});
  for (uint64_t r = 0; r < scales.shape.rows; ++r) {
    for (uint64_t g = 0; g < scales.shape.cols; ++g) {
      put(r, g, matrix.row(r).subspan(g * length, std::min(length, cols - g * length)));
    }
  }
}

}  // namespace

FormPtr UniformForm::encode(const Expression& call, MatrixView matrix) {
  UniformFit fit(call, matrix);
  const Shape shape = matrix.shape, groups = fit.groups();
  Matrix scales(groups), zeros(groups);
  fit_scales(fit, matrix, scales, zeros);
  fit.set_scales(scales, zeros);
  if (shape.size() == 0) return fit.form();

  const uint64_t length = fit.group_length();
  Bytes rows(kPanelRows * shape.cols);
  for (uint64_t first = 0; first < shape.rows; first += kPanelRows) {
    const uint64_t n = std::min(kPanelRows, shape.rows - first);
    for (uint64_t r = 0; r < n; ++r) {
      const uint64_t row = groups.rows == 1 ? 0 : first + r;
      for (uint64_t c = 0; c < shape.cols; c += length) {
        const uint64_t g = groups.cols == 1 ? 0 : c / length;
        const UniformScale s{scales.row(row)[g], zeros.row(row)[g]};
        fit.codes(matrix.row(first + r).subspan(c, std::min(length, shape.cols - c)), s,
                  rows.data() + r * shape.cols + c);
      }
    }
    fit.put(first, n, rows.data());
  }
  return fit.form();
}

}  // namespace pith::form
