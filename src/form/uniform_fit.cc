// The nearest codes and scales of a group by itself: scales around the one that just fits the
// largest element are tried, and each gets the least-squares fit to its codes.
#include "pith/form/uniform_fit.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "coders.h"
#include "fitted_levels.h"
#include "grid.h"
#include "kinds.h"
#include "panel.h"
#include "scales.h"
#include "spaced_fit.h"
#include "uniform.h"

namespace pith::form {
namespace {

// Scales that are tried, as shares of the one that fits the largest element.
constexpr std::array kShares = {1.0f, 0.95f, 0.9f, 0.85f, 0.8f, 0.7f, 0.6f, 0.5f, 0.4f};

// The least and the largest element that matter.
std::pair<float, float> range_of(std::span<const float> w, std::span<const float> importance) {
  float low = INFINITY, high = -INFINITY;
  for (size_t i = 0; i < w.size(); ++i) {
    if (!importance.empty() && !(importance[i] > 0)) continue;
    low = std::min(low, w[i]);
    high = std::max(high, w[i]);
  }
  return low <= high ? std::pair(low, high) : std::pair(0.0f, 0.0f);
}

// Of the elements of one group.
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
  Fit fit(std::span<const float> w, std::span<const float> importance) const {
    const auto [low, high] = range_of(w, importance);
    const float span = levels_.back() - levels_.front();
    double size = 0, sum = 0;
    for (size_t i = 0; i < w.size(); ++i) {
      const double h = importance.empty() ? 1 : importance[i];
      size += h;
      sum += h * w[i];
    }
    Fit best{0, 0, INFINITY};
    const auto attempt = [&](float scale, float zero) {
      Fit f = rounded(scale, zero);
      const LevelSums sums = measure(w, importance, f);
      if (f.error < best.error) best = f;
      Fit better = least_squares(size, sum, sums, f);
      measure(w, importance, better);
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

  void codes(std::span<const float> w, UniformScale f, uint8_t* out) const {
    if (spaced_) return spaced_codes(w, {levels_.front(), levels_.back()}, f.scale, f.zero, out);
    for (size_t i = 0; i < w.size(); ++i) out[i] = code(w[i], f.scale, f.zero);
  }

  uint8_t code(float w, UniformScale f) const {
    if (!spaced_) return code(w, f.scale, f.zero);
    // As spaced_codes() has it, so that one and many give the same.
    const float inverse = std::isfinite(1 / f.scale) ? 1 / f.scale : 0;
    const float level = std::nearbyint((w - f.zero) * inverse);
    const float above = level > levels_.front() ? level : levels_.front();
    return static_cast<uint8_t>(std::min(above, levels_.back()) - levels_.front());
  }

  float value(uint8_t code, UniformScale f) const { return f.scale * levels_[code] + f.zero; }

 private:
  uint8_t code(float w, float scale, float zero) const {
    return scale == 0 ? nearest_(0) : nearest_((w - zero) / scale);
  }

  Fit rounded(float scale, float zero) const {
    const DType type = p_.coded_scales ? DType::kF32 : p_.scale;  // coded later
    return {rounded_scale(scale, type), p_.zero ? rounded_scale(zero, type) : 0, 0};
  }

  // Sets the error.
  LevelSums measure(std::span<const float> w, std::span<const float> importance, Fit& f) const {
    LevelSums sums;
    if (spaced_) {
      // Sums of floats only over so many.
      constexpr size_t kMost = 4096;
      for (size_t at = 0; at < w.size(); at += kMost) {
        const size_t n = std::min(kMost, w.size() - at);
        const auto weights = importance.empty() ? importance : importance.subspan(at, n);
        const LevelSums s = spaced_sums(w.subspan(at, n), weights,
                                        {levels_.front(), levels_.back()}, f.scale, f.zero);
        sums.error += s.error;
        sums.l += s.l;
        sums.ll += s.ll;
        sums.wl += s.wl;
      }
    } else {
      for (size_t i = 0; i < w.size(); ++i) {
        const double h = importance.empty() ? 1 : importance[i];
        const double level = levels_[code(w[i], f.scale, f.zero)];
        const double e = w[i] - (f.scale * level + f.zero);
        sums.error += h * (e * e);
        sums.l += h * level;
        sums.ll += h * (level * level);
        sums.wl += h * (w[i] * level);
      }
    }
    f.error = sums.error;
    return sums;
  }

  // Of the same codes, for elements of this size and sum.
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

std::vector<float> own_levels(const UniformParameters& p, MatrixView matrix) {
  return p.grid == "kmeans" ? fitted_levels(p, matrix) : std::vector<float>();
}

// The call that is fitted, and what codes its codes.
const Expression& uniform_call(const Expression& expression) {
  const bool coded = expression.kind() == Expression::Kind::kCoder;
  const Expression& call = coded ? expression.operands()[0] : expression;
  if (!call.is_call() || call.name() != "uniform") {
    throw call.place().error(ErrorKind::kUsage,
                             fmt::format("`{}` is no uniform form", to_string(call)));
  }
  if (coded) coder_of(expression);
  return call;
}

}  // namespace

struct UniformFit::Parts {
  Parts(const Expression& expression, const Expression& call, MatrixView matrix)
      : whole(expression),
        p(uniform_parameters(call)),
        shape(matrix.shape),
        levels(own_levels(p, matrix)),
        fitter(p, levels.empty() ? grid_levels(p.grid, p.bits, !p.zero) : levels),
        codes(shape.rows * panel_row_bytes(shape.cols, p.bits)) {
    if (shape.size() == 0) p.coded_scales.reset();
  }

  Expression whole;
  UniformParameters p;
  Shape shape;
  std::vector<float> levels;
  GroupFitter fitter;
  Bytes codes;
  GroupValues scales, zeros;
};

UniformFit::UniformFit(const Expression& expression, MatrixView matrix) {
  const Expression& call = uniform_call(expression);
  uniform_parameters(call);  // its errors come first
  require_finite(matrix, "uniform");
  parts_ = std::make_unique<Parts>(expression, call, matrix);
}

UniformFit::UniformFit(UniformFit&&) noexcept = default;
UniformFit::~UniformFit() = default;

Shape UniformFit::shape() const { return parts_->shape; }
Shape UniformFit::groups() const { return groups_of(parts_->p, parts_->shape); }

uint64_t UniformFit::group_length() const {
  return std::max<uint64_t>(1, pith::form::group_length(parts_->p, parts_->shape.cols));
}

bool UniformFit::scales_first() const {
  return parts_->p.coded_scales.has_value() || parts_->p.group == kTensorGroup;
}

UniformScale UniformFit::fit(std::span<const float> w, std::span<const float> importance) const {
  const Fit best = parts_->fitter.fit(w, importance);
  return {best.scale, best.zero};
}

UniformScale UniformFit::rounded(UniformScale s) const {
  const UniformParameters& p = parts_->p;
  const DType type = p.coded_scales ? DType::kF32 : p.scale;  // coded later
  return {rounded_scale(s.scale, type), p.zero ? rounded_scale(s.zero, type) : 0};
}

void UniformFit::set_scales(Matrix& scales, Matrix& zeros) {
  Parts& to = *parts_;
  to.scales = store(to.p, scales);
  if (to.p.zero) {
    to.zeros = store(to.p, zeros);
  } else {
    std::ranges::fill(zeros.values, 0.0f);
  }
  if (to.scales.coded) to.p.coded_scales = to.scales.coded->expression();
}

uint8_t UniformFit::code(float w, UniformScale scale) const {
  return parts_->fitter.code(w, scale);
}
float UniformFit::value(uint8_t code, UniformScale scale) const {
  return parts_->fitter.value(code, scale);
}
void UniformFit::codes(std::span<const float> w, UniformScale scale, uint8_t* out) const {
  parts_->fitter.codes(w, scale, out);
}

void UniformFit::put(uint64_t first, uint64_t n, const uint8_t* codes) {
  const uint64_t cols = parts_->shape.cols, row_bytes = panel_row_bytes(cols, parts_->p.bits);
  for (uint64_t r = 0; r < n; r += kPanelRows) {
    pack_panel(codes + r * cols, cols, std::min(kPanelRows, n - r), cols, parts_->p.bits,
               parts_->codes.data() + (first + r) * row_bytes);
  }
}

FormPtr UniformFit::form() {
  Parts& p = *parts_;
  PanelCodes packed(p.shape, p.p.bits, Buffer(std::move(p.codes)));
  FormPtr form =
      std::make_shared<UniformForm>(p.shape, std::move(p.p), std::move(p.levels), std::move(packed),
                                    std::move(p.scales), std::move(p.zeros));
  if (p.whole.kind() != Expression::Kind::kCoder) return form;
  return coder_of(p.whole).code(p.whole.operands()[1], form);
}

}  // namespace pith::form
