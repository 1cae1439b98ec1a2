// The nearest codes and scales of a group by itself: scales around the one that just fits the
// largest element are tried, and each gets the least-squares fit to its codes.
#include <algorithm>
#include <array>
#include <cmath>

#include "codes.h"
#include "grid.h"
#include "kinds.h"
#include "pith/form/arguments.h"
#include "scales.h"
#include "storage.h"
#include "uniform.h"

namespace pith::form {
namespace {

constexpr std::array<std::string_view, 7> kGrids = {"uniform", "gaussian", "nf4",   "fp4",
                                                    "fp8",     "ternary",  "binary"};
constexpr auto kMostGroup = static_cast<int64_t>(kMostElements);
// Scales that are tried, as shares of the one that fits the largest element.
constexpr std::array kShares = {1.0f, 0.95f, 0.9f, 0.85f, 0.8f, 0.7f, 0.6f, 0.5f, 0.4f};

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

DType scale_type(const Arguments& args) {
  const DTypeInfo* type = find_dtype(args.name("scales", "f16"));
  if (!type || !is_scale_type(type->dtype)) throw args.wrong("scales", "f32, f16, bf16 or f8_e8m0");
  return type->dtype;
}

UniformParameters parameters_of(const Expression& call) {
  const Arguments args(call, {"bits", "group", "zero", "grid", "scales"});
  UniformParameters p;
  p.grid = kGrids[args.choice("grid", kGrids, 0)];
  const int own = grid_bits(p.grid);
  p.bits = static_cast<int>(
      args.integer("bits", 1, 8, own != 0 ? std::optional<int64_t>(own) : std::nullopt));
  if (!is_grid(p.grid, p.bits))
    throw args.wrong("bits", fmt::format("{}, as the grid {} has", own, p.grid));
  p.group = group_of(args);
  p.zero = args.flag("zero", false);
  p.scale = scale_type(args);
  if (p.zero && p.scale == DType::kF8E8M0) throw args.wrong("scales", "of a type with zero points");
  return p;
}

// The elements of one group, which lie one after the other in one row or in all.
struct Fit {
  float scale = 0, zero = 0;
  double error = 0;
};

class GroupFitter {
 public:
  explicit GroupFitter(const UniformParameters& p)
      : p_(p), levels_(grid_levels(p.grid, p.bits, !p.zero)), nearest_(levels_) {}

  // The best scale and zero point found.
  Fit fit(std::span<const float> w) const {
    const auto [low, high] = std::ranges::minmax(w);
    const float span = levels_.back() - levels_.front();
    Fit best{0, 0, INFINITY};
    const auto attempt = [&](float scale, float zero) {
      Fit f = rounded(scale, zero);
      measure(w, f);
      if (f.error < best.error) best = f;
      const Fit better = least_squares(w, f);
      if (better.error < best.error) best = better;
    };
    for (const float share : kShares) {
      if (p_.zero) {
        const float middle = low / 2 + high / 2, half = (high / 2 - low / 2) * share;
        attempt(2 * half / span, middle - half - 2 * half / span * levels_.front());
      } else {
        // The grid may reach further down than up: the largest element is put at either end.
        const float largest = std::max(std::fabs(low), std::fabs(high)) * share;
        if (levels_.back() > 0) attempt(largest / levels_.back(), 0);
        if (p_.scale != DType::kF8E8M0 && levels_.front() < 0) {
          const float signed_largest = (std::fabs(low) > std::fabs(high) ? low : high) * share;
          attempt(signed_largest / levels_.front(), 0);
        }
      }
    }
    return best;
  }

  uint8_t code(float w, const Fit& f) const {
    return f.scale == 0 ? nearest_(0) : nearest_((w - f.zero) / f.scale);
  }

 private:
  Fit rounded(float scale, float zero) const {
    return {rounded_scale(scale, p_.scale), p_.zero ? rounded_scale(zero, p_.scale) : 0, 0};
  }

  void measure(std::span<const float> w, Fit& f) const {
    f.error = 0;
    for (const float v : w) {
      const double e = v - (f.scale * levels_[code(v, f)] + f.zero);
      f.error += e * e;
    }
  }

  // Of the same codes; then measured with their own.
  Fit least_squares(std::span<const float> w, const Fit& from) const {
    double n = 0, sw = 0, sl = 0, sll = 0, swl = 0;
    for (const float v : w) {
      const double level = levels_[code(v, from)];
      n += 1;
      sw += v;
      sl += level;
      sll += level * level;
      swl += v * level;
    }
    double scale, zero = 0;
    if (p_.zero) {
      const double spread = n * sll - sl * sl;
      if (!(spread > 0)) return from;
      scale = (n * swl - sw * sl) / spread;
      zero = (sw - scale * sl) / n;
    } else {
      if (!(sll > 0)) return from;
      scale = swl / sll;
    }
    Fit f = rounded(static_cast<float>(scale), static_cast<float>(zero));
    measure(w, f);
    return f;
  }

  const UniformParameters& p_;
  std::vector<float> levels_;
  NearestLevel nearest_;
};

}  // namespace

FormPtr UniformForm::encode(const Expression& call, MatrixView matrix) {
  const UniformParameters p = parameters_of(call);
  require_finite(matrix, "uniform");
  const Shape shape = matrix.shape;
  const GroupFitter fitter(p);
  const uint64_t length = group_length(p, shape.cols),
                 row_bytes = code_row_bytes(shape.cols, p.bits);
  Bytes codes(shape.rows * row_bytes), scales, row(shape.cols);
  const auto append = [&](const Fit& f) {
    append_scale(f.scale, p.scale, scales);
    if (p.zero) append_scale(f.zero, p.scale, scales);
  };
  Fit whole;
  if (p.group == kTensorGroup && shape.size() > 0) {
    whole = fitter.fit({matrix.data, shape.size()});
    append(whole);
  }
  for (uint64_t r = 0; r < shape.rows && shape.cols > 0; ++r) {
    for (uint64_t at = 0; at < shape.cols; at += length) {
      const auto group = matrix.row(r).subspan(at, std::min(length, shape.cols - at));
      const Fit f = p.group == kTensorGroup ? whole : fitter.fit(group);
      if (p.group != kTensorGroup) append(f);
      for (size_t i = 0; i < group.size(); ++i) row[at + i] = fitter.code(group[i], f);
    }
    pack_row(row.data(), shape.cols, p.bits, codes.data() + r * row_bytes);
  }
  return std::make_shared<UniformForm>(shape, p, Buffer(std::move(codes)),
                                       Buffer(std::move(scales)));
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
  if (p.scale != DType::kF16) add("scales", Expression::call(std::string(info(p.scale).name)));
  return Expression::call("uniform", std::move(args));
}

}  // namespace pith::form
