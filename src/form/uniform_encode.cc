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
#include "spaced_fit.h"
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
      : p_(p), levels_(std::move(levels)), nearest_(levels_) {
    for (size_t i = 0; i < levels_.size(); ++i) {
      spaced_ = spaced_ && levels_[i] == levels_[0] + static_cast<float>(i);
    }
  }

  // The best scale and zero point found.
  Fit fit(std::span<const float> w) const {
    const auto [low, high] = std::ranges::minmax(w);
    const float span = levels_.back() - levels_.front();
    double sum = 0;
    for (const float v : w) sum += v;
    Fit best{0, 0, INFINITY};
    const auto attempt = [&](float scale, float zero) {
      Fit f = rounded(scale, zero);
      const LevelSums sums = measure(w, f);
      if (f.error < best.error) best = f;
      Fit better = least_squares(static_cast<double>(w.size()), sum, sums, f);
      measure(w, better);
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

  void codes(std::span<const float> w, const Fit& f, uint8_t* out) const {
    if (spaced_) return spaced_codes(w, {levels_.front(), levels_.back()}, f.scale, f.zero, out);
    for (size_t i = 0; i < w.size(); ++i) out[i] = code(w[i], f);
  }

 private:
  uint8_t code(float w, const Fit& f) const {
    return f.scale == 0 ? nearest_(0) : nearest_((w - f.zero) / f.scale);
  }

  Fit rounded(float scale, float zero) const {
    const DType type = p_.coded_scales ? DType::kF32 : p_.scale;  // coded later
    return {rounded_scale(scale, type), p_.zero ? rounded_scale(zero, type) : 0, 0};
  }

  // Sets the error.
  LevelSums measure(std::span<const float> w, Fit& f) const {
    LevelSums sums;
    if (spaced_) {
      // Sums of floats only over so many.
      constexpr size_t kMost = 4096;
      for (size_t at = 0; at < w.size(); at += kMost) {
        const auto part = w.subspan(at, std::min(kMost, w.size() - at));
        const LevelSums s = spaced_sums(part, {levels_.front(), levels_.back()}, f.scale, f.zero);
        sums.error += s.error;
        sums.l += s.l;
        sums.ll += s.ll;
        sums.wl += s.wl;
      }
    } else {
      for (const float v : w) {
        const double level = levels_[code(v, f)], e = v - (f.scale * level + f.zero);
        sums.error += e * e;
        sums.l += level;
        sums.ll += level * level;
        sums.wl += v * level;
      }
    }
    f.error = sums.error;
    return sums;
  }

  // Of the same codes, for n elements of that sum.
  Fit least_squares(double n, double sum, const LevelSums& s, const Fit& from) const {
    double scale, zero = 0;
    if (p_.zero) {
      const double spread = n * s.ll - s.l * s.l;
      if (!(spread > 0)) return from;
      scale = (n * s.wl - sum * s.l) / spread;
      zero = (sum - scale * s.l) / n;
    } else {
      if (!(s.ll > 0)) return from;
      scale = s.wl / s.ll;
    }
    return rounded(static_cast<float>(scale), static_cast<float>(zero));
  }

  const UniformParameters& p_;
  std::vector<float> levels_;
  NearestLevel nearest_;
  bool spaced_ = true;  // by one
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

  const uint64_t length = std::max<uint64_t>(1, group_length(p, shape.cols)),
                 row_bytes = panel_row_bytes(shape.cols, p.bits);
  Bytes codes(shape.rows * row_bytes), rows(kPanelRows * shape.cols);
  for (uint64_t first = 0; first < shape.rows && shape.cols > 0; first += kPanelRows) {
    const uint64_t n = std::min(kPanelRows, shape.rows - first);
    for (uint64_t r = 0; r < n; ++r) {
      const uint64_t row = p.group == kTensorGroup ? 0 : first + r;
      for (uint64_t g = 0, c = 0; c < shape.cols; ++g, c += length) {
        const Fit f{fits.scales.row(row)[g], p.zero ? fits.zeros.row(row)[g] : 0, 0};
        const auto w = matrix.row(first + r).subspan(c, std::min(length, shape.cols - c));
        fitter.codes(w, f, rows.data() + r * shape.cols + c);
      }
    }
    pack_panel(rows.data(), shape.cols, n, shape.cols, p.bits, codes.data() + first * row_bytes);
  }
  PanelCodes packed(shape, p.bits, Buffer(std::move(codes)));
  return std::make_shared<UniformForm>(shape, std::move(p), std::move(own_levels),
                                       std::move(packed), std::move(scales), std::move(zeros));
}

}  // namespace pith::form
