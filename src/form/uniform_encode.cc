// The nearest codes and scales of a group by itself: scales around the one that just fits the
// largest element are tried, and each gets the least-squares fit to its codes.
#include <algorithm>
#include <array>
#include <cmath>

#include "grid.h"
#include "kinds.h"
#include "panel.h"
#include "pith/form/arguments.h"
#include "scales.h"
#include "storage.h"
#include "uniform.h"

namespace pith::form {
namespace {

constexpr std::array<std::string_view, 9> kGrids = {
    "uniform", "positive", "gaussian", "kmeans", "nf4", "fp4", "fp8", "ternary", "binary"};
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

// The elements of one group, which lie one after the other in one row or in all.
struct Fit {
  float scale = 0, zero = 0;
  double error = 0;
};

class GroupFitter {
 public:
  GroupFitter(const UniformParameters& p, std::vector<float> levels)
      : p_(p), levels_(std::move(levels)), nearest_(levels_) {}

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
        if ((p_.coded_scales || p_.scale != DType::kF8E8M0) && levels_.front() < 0) {
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
    const DType type = p_.coded_scales ? DType::kF32 : p_.scale;  // coded later
    return {rounded_scale(scale, type), p_.zero ? rounded_scale(zero, type) : 0, 0};
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

// Group by group in the order of panels: f(row, group, elements).
template <class Function>
void for_each_group(const UniformParameters& p, MatrixView matrix, Function&& f) {
  const uint64_t cols = matrix.shape.cols, length = group_length(p, cols);
  for (uint64_t first = 0; first < matrix.shape.rows && cols > 0; first += kPanelRows) {
    const uint64_t last = std::min(first + kPanelRows, matrix.shape.rows);
    for (uint64_t g = 0; g * length < cols; ++g) {
      for (uint64_t r = first; r < last; ++r) {
        f(r, g, matrix.row(r).subspan(g * length, std::min(length, cols - g * length)));
      }
    }
  }
}

// Levels for elements as shares of the largest of their group: Lloyd's iteration over a histogram.
std::vector<float> fitted_levels(const UniformParameters& p, MatrixView matrix) {
  constexpr int kBins = 1 << 14, kRounds = 60;
  std::vector<double> count(kBins), sum(kBins);
  for_each_group(p, matrix, [&](uint64_t, uint64_t, std::span<const float> w) {
    const auto [low, high] = std::ranges::minmax(w);
    const float largest = std::max(std::fabs(low), std::fabs(high));
    for (const float v : w) {
      const double share = largest > 0 ? v / largest : 0;
      const auto bin = static_cast<size_t>((share + 1) / 2 * (kBins - 1) + 0.5);
      count[bin] += 1;
      sum[bin] += share;
    }
  });
  double all = 0;
  for (const double c : count) all += c;
  const size_t n = size_t{1} << p.bits;
  std::vector<double> levels;
  double seen = 0;
  for (size_t bin = 0; bin < kBins; ++bin) {  // quantiles to begin with
    seen += count[bin];
    while (levels.size() < n && all > 0 &&
           seen >= all * (static_cast<double>(levels.size()) + 0.5) / static_cast<double>(n)) {
      levels.push_back(sum[bin] / count[bin]);
    }
  }
  levels.resize(n, 0);
  for (int round = 0; round < kRounds; ++round) {
    size_t bin = 0;
    for (size_t i = 0; i < n; ++i) {
      const double high = i + 1 < n ? (levels[i] + levels[i + 1]) / 2 : 2;
      double mass = 0, total = 0;
      for (; bin < kBins && 2.0 * static_cast<double>(bin) / (kBins - 1) - 1 <= high; ++bin) {
        mass += count[bin];
        total += sum[bin];
      }
      if (mass > 0) levels[i] = total / mass;
    }
  }
  std::ranges::sort(levels);
  return {levels.begin(), levels.end()};
}

// One value of each group, as a matrix with a row for each row.
struct Fits {
  Matrix scales, zeros;
};

Fits fit_groups(const UniformParameters& p, MatrixView matrix, const GroupFitter& fitter) {
  const Shape groups = groups_of(p, matrix.shape);
  Fits fits{Matrix(groups), Matrix(groups)};
  const auto put = [&](uint64_t r, uint64_t g, const Fit& f) {
    fits.scales.row(r)[g] = f.scale;
    fits.zeros.row(r)[g] = f.zero;
  };
  if (groups.size() == 0) return fits;
  if (p.group == kTensorGroup) {
    put(0, 0, fitter.fit({matrix.data, matrix.shape.size()}));
    return fits;
  }
  for_each_group(p, matrix, [&](uint64_t r, uint64_t g, std::span<const float> w) {
    put(r, g, fitter.fit(w));
  });
  return fits;
}

// Stores the values, and makes them what will be read.
GroupValues store(const UniformParameters& p, Matrix& values) {
  if (p.coded_scales && values.shape.size() > 0) {
    const FormPtr form = UniformForm::encode(*p.coded_scales, values.view());
    values = form::decode(*form);
    return {{}, std::static_pointer_cast<const UniformForm>(form)};
  }
  Bytes plain;
  for (uint64_t first = 0; first < values.shape.rows; first += kPanelRows) {
    const uint64_t last = std::min(first + kPanelRows, values.shape.rows);
    for (uint64_t g = 0; g < values.shape.cols; ++g) {
      for (uint64_t r = first; r < last; ++r) append_float(values.row(r)[g], p.scale, plain);
    }
  }
  return {Buffer(std::move(plain)), nullptr};
}

}  // namespace

FormPtr UniformForm::encode(const Expression& call, MatrixView matrix) {
  UniformParameters p = uniform_parameters(call);
  require_finite(matrix, "uniform");
  const Shape shape = matrix.shape;
  if (shape.size() == 0) p.coded_scales.reset();
  std::vector<float> own_levels;
  if (p.grid == "kmeans") own_levels = fitted_levels(p, matrix);
  const GroupFitter fitter(p,
                           own_levels.empty() ? grid_levels(p.grid, p.bits, !p.zero) : own_levels);
  Fits fits = fit_groups(p, matrix, fitter);
  GroupValues scales = store(p, fits.scales), zeros;
  if (p.zero) zeros = store(p, fits.zeros);
  if (scales.coded) p.coded_scales = scales.coded->expression();

  const uint64_t length = group_length(p, shape.cols),
                 row_bytes = panel_row_bytes(shape.cols, p.bits);
  Bytes codes(shape.rows * row_bytes), rows(kPanelRows * shape.cols);
  for (uint64_t first = 0; first < shape.rows && shape.cols > 0; first += kPanelRows) {
    const uint64_t n = std::min(kPanelRows, shape.rows - first);
    for (uint64_t r = 0; r < n; ++r) {
      for (uint64_t c = 0; c < shape.cols; ++c) {
        const uint64_t row = p.group == kTensorGroup ? 0 : first + r,
                       group = p.group == kTensorGroup ? 0 : c / length;
        const Fit f{fits.scales.row(row)[group], p.zero ? fits.zeros.row(row)[group] : 0, 0};
        rows[r * shape.cols + c] = fitter.code(matrix.row(first + r)[c], f);
      }
    }
    pack_panel(rows.data(), shape.cols, n, shape.cols, p.bits, codes.data() + first * row_bytes);
  }
  PanelCodes packed(shape, p.bits, Buffer(std::move(codes)));
  return std::make_shared<UniformForm>(shape, std::move(p), std::move(own_levels),
                                       std::move(packed), std::move(scales), std::move(zeros));
}

}  // namespace pith::form
