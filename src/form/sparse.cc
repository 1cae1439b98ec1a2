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

bool is_ratio(const SparseOptions& o) { return o.pattern == SparsePattern::kRatio; }

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
  if (is_ratio(o)) {
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
  if (is_ratio(options_)) {
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
  if (is_ratio(o)) {
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
  const Arguments args(call, {"share", "pattern", "block", "height", "values"});
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

}  // namespace pith::form
