#include "group_scales.h"

#include <algorithm>
#include <cmath>

#include "scales.h"

namespace pith::form {

uint64_t ScaleGroups::in_row(Shape shape) const {
  if (length == kNone || shape.cols == 0) return 0;
  if (length == kRow || length == kTensor) return 1;
  return shape.cols / length + (shape.cols % length != 0);
}

uint64_t ScaleGroups::count(Shape shape) const {
  if (length == kTensor) return shape.size() > 0 ? 1 : 0;
  return checked_mul(shape.rows, in_row(shape));
}

uint64_t ScaleGroups::index(Shape shape, uint64_t row, uint64_t column) const {
  if (length == kTensor) return 0;
  return length == kRow ? row : row * in_row(shape) + column / length;
}

uint64_t ScaleGroups::left(Shape shape, uint64_t column) const {
  const uint64_t rest = shape.cols - column;
  if (length == kRow || length == kTensor || length == kNone) return rest;
  return std::min(rest, length - column % length);
}

ScaleGroups ScaleGroups::of(const Arguments& args, ScaleGroups otherwise) {
  ScaleGroups g = otherwise;
  if (const Value* group = args.find("group")) {
    const auto* name = group->get_if<Expression>();
    const auto* n = group->get_if<int64_t>();
    if (name && name->is_name() && name->name() == "row") {
      g.length = kRow;
    } else if (name && name->is_name() && name->name() == "tensor") {
      g.length = kTensor;
    } else if (name && name->is_name() && name->name() == "none") {
      g.length = kNone;
    } else if (n && *n >= 1 && static_cast<uint64_t>(*n) <= kMostElements) {
      g.length = static_cast<uint64_t>(*n);
    } else {
      throw args.wrong("group", "a number of elements, `row`, `tensor` or `none`");
    }
  }
  if (!args.has("scales")) return g;
  const DTypeInfo* type = find_dtype(args.name("scales"));
  if (!type || !is_scale_type(type->dtype)) throw args.wrong("scales", "f32, f16, bf16 or f8_e8m0");
  if (g.length == kNone) throw args.wrong("scales", "left out where no group has one");
  g.type = type->dtype;
  return g;
}

void ScaleGroups::add_to(std::vector<Argument>& args, ScaleGroups otherwise) const {
  const auto name = [](const char* text) { return Value(Expression::call(text)); };
  if (length != otherwise.length) {
    args.push_back({"group", length == kRow      ? name("row")
                             : length == kTensor ? name("tensor")
                             : length == kNone   ? name("none")
                                                 : Value(length)});
  }
  if (type != otherwise.type)
    args.push_back({"scales", Expression::call(std::string(info(type).name))});
}

void ScaleGroups::write(BodyWriter& to) const {
  to.varint(length);
  to.varint(static_cast<uint64_t>(type));
}

ScaleGroups ScaleGroups::read(BodyReader& in) {
  ScaleGroups g;
  g.length = in.varint();
  if (g.length > kMostElements && g.length != kTensor && g.length != kNone)
    in.bad("groups of impossible size");
  const DTypeInfo* type = find_dtype(static_cast<uint8_t>(in.varint(0, 255, "scales")));
  if (!type || !is_scale_type(type->dtype) ||
      (g.length == kNone && type->dtype != ScaleGroups().type)) {
    in.bad("scales of a type that cannot be");
  }
  g.type = type->dtype;
  return g;
}

GroupScales::GroupScales(Shape shape, ScaleGroups groups, Buffer stored)
    : shape_(shape), groups_(groups), stored_(std::move(stored)) {
  if (stored_.size() != checked_mul(groups.count(shape), scale_bytes(groups.type)))
    fail(ErrorKind::kData, "scales of the wrong size");
}

GroupScales GroupScales::read(Shape shape, ScaleGroups groups, BodyReader& in) {
  return {shape, groups, in.array(checked_mul(groups.count(shape), scale_bytes(groups.type)))};
}

float GroupScales::at(uint64_t row, uint64_t column) const {
  if (groups_.length == ScaleGroups::kNone) return 1;
  return load_float(stored_.data(), groups_.index(shape_, row, column), groups_.type);
}

void GroupScales::apply(uint64_t row, uint64_t begin, uint64_t n, float* values) const {
  if (groups_.length == ScaleGroups::kNone) return;
  for (uint64_t i = 0; i < n;) {
    const float scale = at(row, begin + i);
    const uint64_t end = std::min(n, i + groups_.left(shape_, begin + i));
    for (; i < end; ++i) values[i] *= scale;
  }
}

ScaleFit::ScaleFit(MatrixView matrix, ScaleGroups groups, double factor)
    : matrix_(matrix), groups_(groups) {
  const uint64_t n = groups.count(matrix.shape);
  scales_.resize(n);
  cross_.resize(n);
  square_.resize(n);
  size_.resize(n);
  if (n == 0) return;
  std::vector<double> members(n);
  for (uint64_t r = 0; r < matrix.shape.rows; ++r) {
    for (uint64_t c = 0; c < matrix.shape.cols; ++c) {
      const uint64_t g = groups.index(matrix.shape, r, c);
      size_[g] += double{matrix.row(r)[c]} * matrix.row(r)[c];
      ++members[g];
    }
  }
  for (uint64_t g = 0; g < n; ++g) {
    const double rms = std::sqrt(size_[g] / members[g]);
    scales_[g] = rounded_scale(static_cast<float>(factor * rms), groups.type);
  }
}

float ScaleFit::scale(uint64_t row, uint64_t column) const {
  if (groups_.length == ScaleGroups::kNone) return 1;
  return scales_[groups_.index(matrix_.shape, row, column)];
}

void ScaleFit::normalized(uint64_t row, float* out) const {
  const auto w = matrix_.row(row);
  for (uint64_t c = 0; c < w.size();) {
    const float s = scale(row, c);
    for (const uint64_t end = c + groups_.left(matrix_.shape, c); c < end; ++c)
      out[c] = s == 0 ? 0 : w[c] / s;
  }
}

void ScaleFit::add(uint64_t row, const float* unscaled) {
  if (groups_.length == ScaleGroups::kNone) return;
  const auto w = matrix_.row(row);
  for (uint64_t c = 0; c < w.size();) {
    const uint64_t g = groups_.index(matrix_.shape, row, c);
    for (const uint64_t end = c + groups_.left(matrix_.shape, c); c < end; ++c) {
      cross_[g] += double{w[c]} * unscaled[c];
      square_[g] += double{unscaled[c]} * unscaled[c];
    }
  }
}

double ScaleFit::finish() {
  double total = 0;
  for (uint64_t g = 0; g < scales_.size(); ++g) {
    const auto error = [&](double s) { return size_[g] - 2 * s * cross_[g] + s * s * square_[g]; };
    if (square_[g] > 0) {
      const float best = rounded_scale(static_cast<float>(cross_[g] / square_[g]), groups_.type);
      if (error(best) < error(scales_[g])) scales_[g] = best;
    }
    total += error(scales_[g]);
  }
  return total;
}

Buffer ScaleFit::stored() const {
  Bytes out;
  for (const float s : scales_) append_float(s, groups_.type, out);
  return Buffer(std::move(out));
}

}  // namespace pith::form
