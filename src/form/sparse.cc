#include "sparse.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "kinds.h"
#include "pith/form/arguments.h"
#include "sparse_blocks.h"
#include "sparse_columns.h"
#include "sparse_csr.h"
#include "sparse_mask.h"
#include "sparse_values.h"
#include "storage.h"

namespace pith::form {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"csr", "bitmap", "rows", "columns"};
constexpr std::array kNamed = {SparsePattern::kCsr, SparsePattern::kBitmap, SparsePattern::kRows,
                               SparsePattern::kColumns};
constexpr int64_t kMostBlock = 1 << 16;
constexpr std::array<std::string_view, 5> kParameters = {"share", "pattern", "block", "height",
                                                         "values"};

SparsePattern pattern_of(double share) {
  return share < kBitmapShare ? SparsePattern::kCsr : SparsePattern::kBitmap;
}

SparseOptions options_of(const Arguments& args) {
  SparseOptions o;
  const Value* share = args.find("share");
  if (share && share->get_if<Ratio>()) {
    const Ratio r = args.ratio("share");
    if (r.n > r.m) throw args.wrong("share", "n:m with n up to m");
    o.n = static_cast<uint64_t>(r.n);
    o.m = static_cast<uint64_t>(r.m);
    o.pattern = SparsePattern::kRatio;
    for (const std::string_view other : {"pattern", "block", "height"}) {
      if (args.has(other)) throw args.wrong(other, "left out beside n:m");
    }
    return o;
  }
  o.share = args.fraction("share");
  o.pattern = pattern_of(o.share);
  if (args.has("block") || args.has("height")) {
    if (args.has("pattern")) throw args.wrong("pattern", "left out beside `block`");
    o.pattern = SparsePattern::kBlocks;
    o.block = static_cast<uint64_t>(args.integer("block", 1, kMostBlock, 1));
    o.height = static_cast<uint64_t>(args.integer("height", 1, kMostBlock, 1));
  } else if (args.has("pattern")) {
    o.pattern = kNamed[args.choice("pattern", kNames)];
  }
  return o;
}

const Expression& sparse_call(const Expression& expression) {
  if (!expression.is_call() || expression.name() != "sparse") {
    throw expression.place().error(ErrorKind::kUsage,
                                   fmt::format("`{}` is no sparse form", to_string(expression)));
  }
  return expression;
}

}  // namespace

std::vector<bool> largest(std::span<const float> scores, uint64_t n) {
  std::vector<uint64_t> order(scores.size());
  std::iota(order.begin(), order.end(), uint64_t{0});
  n = std::min<uint64_t>(n, order.size());
  if (n < order.size()) {
    std::ranges::nth_element(order, order.begin() + static_cast<int64_t>(n),
                             [&](uint64_t a, uint64_t b) {
                               return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                             });
  }
  std::vector<bool> keep(scores.size());
  for (uint64_t i = 0; i < n; ++i) keep[order[i]] = true;
  return keep;
}

uint64_t count_of(double share, uint64_t all) {
  return static_cast<uint64_t>(std::llround(share * static_cast<double>(all)));
}

Expression SparseForm::expression() const {
  const SparseOptions& o = options_;
  std::vector<Argument> args;
  if (o.is_ratio()) {
    args.push_back({"", Ratio{static_cast<int64_t>(o.n), static_cast<int64_t>(o.m)}});
  } else {
    args.push_back({"", o.share});
  }
  const auto* named = std::ranges::find(kNamed, o.pattern);
  if (named != kNamed.end() && o.pattern != pattern_of(o.share)) {
    const std::string_view name = kNames[static_cast<size_t>(named - kNamed.begin())];
    args.push_back({"pattern", Value(Expression::call(std::string(name)))});
  }
  if (o.pattern == SparsePattern::kBlocks) {
    args.push_back({"block", Value(o.block)});
    if (o.height != 1) args.push_back({"height", Value(o.height)});
  }
  add_values_argument(*values_, args);
  return Expression::call("sparse", std::move(args));
}

void SparseForm::write_body(BodyWriter& to) const {
  to.varint(static_cast<uint64_t>(options_.pattern));
  if (options_.is_ratio()) {
    to.varint(options_.n);
    to.varint(options_.m);
  } else {
    to.varint(std::bit_cast<uint64_t>(options_.share));
  }
  if (options_.pattern == SparsePattern::kBlocks) {
    to.varint(options_.block);
    to.varint(options_.height);
  }
  write_places(to);
  to.form(*values_);
}

FormPtr SparseForm::read(Shape shape, BodyReader& in) {
  constexpr auto kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  SparseOptions o;
  o.pattern = static_cast<SparsePattern>(
      in.varint(0, static_cast<uint64_t>(SparsePattern::kColumns), "pattern"));
  if (o.is_ratio()) {
    o.n = in.varint(1, kMost, "n");
    o.m = in.varint(o.n, kMost, "m");
  } else {
    o.share = std::bit_cast<double>(in.varint());
    if (!(o.share >= 0 && o.share <= 1)) in.bad("a share that cannot be");
  }
  switch (o.pattern) {
    case SparsePattern::kCsr:
      return CsrForm::read(shape, o, in);
    case SparsePattern::kBitmap:
    case SparsePattern::kRatio:
      return MaskForm::read(shape, o, in);
    case SparsePattern::kColumns:
      return ColumnsForm::read(shape, o, in);
    case SparsePattern::kBlocks:
      o.block = in.varint(1, kMostBlock, "block");
      o.height = in.varint(1, kMostBlock, "height");
      [[fallthrough]];
    default:
      return BlocksForm::read(shape, o, in);
  }
}

FormPtr SparseForm::encode(const Expression& call, MatrixView matrix) {
  const Arguments args(call, kParameters);
  const SparseOptions o = options_of(args);
  const Expression values = values_argument(args);
  require_finite(matrix, "sparse");
  switch (o.pattern) {
    case SparsePattern::kCsr:
      return CsrForm::encode(o, values, matrix);
    case SparsePattern::kBitmap:
    case SparsePattern::kRatio:
      return MaskForm::encode(o, values, matrix);
    case SparsePattern::kColumns:
      return ColumnsForm::encode(o, values, matrix);
    default:
      return BlocksForm::encode(o, values, matrix);
  }
}

SparseOptions sparse_options(const Expression& expression) {
  return options_of(Arguments(sparse_call(expression), kParameters));
}

namespace {

bool is_row_blocks(const SparseOptions& o) {
  return o.pattern == SparsePattern::kBlocks && o.height == 1;
}

FormPtr made(const SparseOptions& o, Shape shape, std::span<const uint64_t> kept, FormPtr values) {
  if (is_row_blocks(o)) return BlocksForm::make(o, shape, kept, std::move(values));
  return o.pattern == SparsePattern::kCsr ? CsrForm::make(o, shape, kept, std::move(values))
                                          : MaskForm::make(o, shape, kept, std::move(values));
}

// Whole blocks, which fill the rows.
bool fits_blocks(const SparseOptions& o, Shape shape, std::span<const uint8_t> keep) {
  if (shape.cols % o.block != 0) return false;
  for (uint64_t i = 0; i < keep.size(); ++i) {
    if ((keep[i] != 0) != (keep[i / o.block * o.block] != 0)) return false;
  }
  return true;
}

// n of every m neighbours, or all of fewer.
bool fits(const SparseOptions& o, Shape shape, std::span<const uint8_t> keep) {
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t at = 0; at < shape.cols; at += std::min(o.m, shape.cols - at)) {
      const uint64_t length = std::min(o.m, shape.cols - at);
      const auto n = std::ranges::count_if(keep.subspan(r * shape.cols + at, length),
                                           [](uint8_t k) { return k != 0; });
      if (static_cast<uint64_t>(n) != std::min(o.n, length)) return false;
    }
  }
  return true;
}

}  // namespace

SparseFit::SparseFit(const Expression& expression, Shape shape, std::span<const uint8_t> keep)
    : options_(sparse_options(expression)),
      values_(values_argument(Arguments(expression, kParameters))),
      shape_(shape) {
  if (!options_.is_ratio() && !options_.is_free() && !is_row_blocks(options_)) {
    throw expression.place().error(
        ErrorKind::kUsage, "sparse: elements are chosen one by one, n of m, or in blocks of a row");
  }
  if (keep.size() != shape.size() || (options_.is_ratio() && !fits(options_, shape, keep)) ||
      (is_row_blocks(options_) && !fits_blocks(options_, shape, keep))) {
    fail(ErrorKind::kUsage, "sparse: a choice of elements that does not fit `{}`",
         to_string(expression));
  }
  for (uint64_t i = 0; i < keep.size(); ++i) {
    if (keep[i] != 0) kept_.push_back(i);
  }
}

Shape SparseFit::values_shape() const {
  if (is_row_blocks(options_)) {
    return BlocksForm::values_shape(options_, shape_, kept_.size() / options_.block);
  }
  if (!options_.is_ratio()) return folded(kept_.size());
  return {shape_.rows, kept_of_row(options_, shape_.cols)};
}

Matrix SparseFit::gather(MatrixView weights) const {
  if (weights.shape != shape_) fail(ErrorKind::kUsage, "sparse: values of another shape");
  Matrix values(values_shape());
  for (uint64_t i = 0; i < kept_.size(); ++i) values.values[i] = weights.data[kept_[i]];
  return values;
}

FormPtr SparseFit::form(FormPtr values) const {
  if (values->shape() != values_shape()) fail(ErrorKind::kUsage, "sparse: values of another shape");
  return made(options_, shape_, kept_, std::move(values));
}

FormPtr SparseFit::form(MatrixView weights) const {
  require_finite(weights, "sparse");
  Matrix values = gather(weights);
  clamp_for(values_, values.values);
  return form(form::encode(values_, values.view()));
}

}  // namespace pith::form
