#include "pith/form/integer_fit.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "coders.h"
#include "integer.h"
#include "integer_costs.h"
#include "integer_search.h"
#include "integer_spread.h"
#include "pith/base/parallel.h"

namespace pith::form {

struct IntegerFit::Parts {
  Parts(const IntegerParameters& p, MatrixView weights, IntegerSteps s)
      : asked(p),
        shape(weights.shape),
        trellis(p.states),
        steps(std::move(s)),
        scales(steps),
        panels(shape.cols == 0 ? 0 : shape.rows / kPanelRows + (shape.rows % kPanelRows != 0)),
        codes(checked_mul(checked_mul(panels, shape.cols), kPanelRows)),
        chosen(panels * shape.cols) {
    const IntegerSpread spread = fit_spread(weights, steps, scales);
    classes = spread.classes;
    // The classes there are, and those that lines may move to.
    constexpr int kFarthest = 4;
    if (!codes.empty()) {
      const auto [least_row, most_row] = std::ranges::minmax(classes.rows);
      const auto [least_column, most_column] = std::ranges::minmax(classes.columns);
      first_class = integer_class(least_row + least_column, -kFarthest);
      last_class = integer_class(most_row + most_column, kFarthest);
    }
    costs = IntegerCosts::parametric(spread.widest, trellis.states() > 1, first_class, last_class);
  }

  uint64_t rows_of(uint64_t panel) const {
    return std::min(kPanelRows, shape.rows - panel * kPanelRows);
  }
  const int16_t* column(uint64_t panel, uint64_t c) const {
    return codes.data() + (panel * shape.cols + c) * kPanelRows;
  }

  // Calls f(odd state, class, code) for all codes of a column.
  template <class F>
  void each(uint64_t panel, uint64_t c, const F& f) const {
    const int16_t* code = column(panel, c);
    uint8_t state = 0;
    for (uint64_t r = 0; r < rows_of(panel); ++r) {
      f(state & 1, integer_class(classes.rows[panel * kPanelRows + r], classes.columns[c]),
        code[r]);
      state = trellis.next(state, code[r]);
    }
  }

  IntegerHistogram histogram() const {
    IntegerHistogram out;
    for (uint64_t i = 0; i < chosen.size(); ++i) {
      if (chosen[i] == 0) continue;
      each(i / shape.cols, i % shape.cols, [&](int odd, int k, int code) {
        const int symbol = integer_symbol(code, low_bits_of(k));
        ++out.counts[static_cast<size_t>(odd)][static_cast<size_t>(k)][symbol_place(symbol)];
      });
    }
    return out;
  }

  // Bits of a line in the class before its own, its own and the next.
  using Bits = std::array<double, 3>;
  void add_bits(int odd, int class_sum, int code, Bits& to) const {
    for (int by = -1; by <= 1; ++by)
      to[static_cast<size_t>(by + 1)] +=
          double{costs.bits(odd, integer_class(class_sum, by), code)};
  }
  // Other classes take a few bits more to tell.
  static bool move(const Bits& bits, int8_t& line) {
    constexpr double kToTell = 6;
    const bool down = bits[0] + kToTell < std::min(bits[1], bits[2]) && line > -127;
    const bool up = bits[2] + kToTell < std::min(bits[1], bits[0]) && line < 127;
    line = static_cast<int8_t>(line - (down ? 1 : 0) + (up ? 1 : 0));
    return down || up;
  }

  // Rows, then columns go to the class next to theirs where their codes, which are not just the
  // weights but what errors were fed back to them, have fewer bits by the costs. Returns how many.
  uint64_t move_classes(int threads) {
    std::atomic<uint64_t> moved = 0;
    parallel_for(threads, panels, [&](size_t p) {
      std::array<Bits, kPanelRows> bits{};
      int8_t* const rows = classes.rows.data() + p * kPanelRows;
      for (uint64_t c = 0; c < shape.cols; ++c) {
        if (chosen[p * shape.cols + c] == 0) continue;
        uint64_t r = 0;
        each(p, c, [&](int odd, int, int code) {
          add_bits(odd, rows[r] + classes.columns[c], code, bits[r]);
          ++r;
        });
      }
      for (uint64_t r = 0; r < rows_of(p); ++r) moved += move(bits[r], rows[r]) ? 1 : 0;
    });
    parallel_for(threads, shape.cols, [&](size_t c) {
      Bits bits{};
      for (uint64_t p = 0; p < panels; ++p) {
        if (chosen[p * shape.cols + c] == 0) continue;
        const int8_t* row = classes.rows.data() + p * kPanelRows;
        each(p, c, [&](int odd, int, int code) {
          add_bits(odd, *row++ + classes.columns[c], code, bits);
        });
      }
      moved += move(bits, classes.columns[c]) ? 1 : 0;
    });
    return moved;
  }

  void update(int threads) {
    constexpr int kMostRounds = 3;
    costs.update(histogram());
    for (int round = 0; round < kMostRounds; ++round) {
      const uint64_t moved = move_classes(threads);
      if (moved > 0) costs.update(histogram());
      if (moved <= (shape.rows + shape.cols) / 32) return;
    }
  }

  double column_bits(uint64_t panel, uint64_t c) const {
    double sum = 0;
    each(panel, c, [&](int odd, int k, int code) { sum += costs.bits(odd, k, code); });
    return sum;
  }

  IntegerParameters asked;
  Shape shape;
  IntegerTrellis trellis;
  IntegerSteps steps;
  IntegerScales scales;
  IntegerClasses classes;
  IntegerCosts costs;
  int first_class = 0, last_class = 0;  // with costs
  uint64_t panels;
  std::vector<int16_t> codes;
  std::vector<uint8_t> chosen;  // columns of panels
  double form_bits = -1;
};

IntegerFit::IntegerFit(const Expression& expression, MatrixView weights, IntegerSteps steps) {
  IntegerParameters p = integer_parameters(expression);
  if (p.size == IntegerParameters::Size::kStep) p.value = steps.step;
  if (steps.rows.size() != weights.shape.rows || steps.columns.size() != weights.shape.cols)
    fail(ErrorKind::kData, "integer: steps of {} rows and {} columns for a matrix of {} x {}",
         steps.rows.size(), steps.columns.size(), weights.shape.rows, weights.shape.cols);
  if (!integer_steps_fit(steps))
    fail(ErrorKind::kData, "integer: steps beyond what floats hold (step {})", steps.step);
  parts_ = std::make_unique<Parts>(p, weights, std::move(steps));
}

IntegerFit::IntegerFit(IntegerFit&&) noexcept = default;
IntegerFit::~IntegerFit() = default;

Shape IntegerFit::shape() const { return parts_->shape; }
uint64_t IntegerFit::panels() const { return parts_->panels; }
int IntegerFit::states() const { return parts_->trellis.states(); }

double IntegerFit::lambda() const {
  // Measured: at 1 to 3 bits, where error falls more slowly than at high rates, a little more is
  // better, and above it does not matter.
  constexpr double kAtLowRates = 1.15;
  return kAtLowRates * 2 * std::log(2.0) * integer_distortion(states());
}

void IntegerFit::choose(uint64_t panel, uint64_t column, const float* wanted, double lambda,
                        float* values) {
  Parts& p = *parts_;
  const uint64_t n = p.rows_of(panel), first = panel * kPanelRows;
  IntegerTargets targets;
  targets.rows = n;
  for (uint64_t r = 0; r < n; ++r) {
    const float scale = p.scales.columns[column] * p.scales.rows[first + r];
    targets.wanted[r] = wanted[r] / scale;
    targets.classes[r] = integer_class(p.classes.rows[first + r], p.classes.columns[column]);
  }
  int16_t* codes = p.codes.data() + (panel * p.shape.cols + column) * kPanelRows;
  search_integers(p.trellis, p.costs, targets, static_cast<float>(lambda), codes);
  uint8_t state = 0;
  for (uint64_t r = 0; r < n; ++r) {
    const float scale = p.scales.columns[column] * p.scales.rows[first + r];
    values[r] = scale * integer_level(codes[r], state);
    state = p.trellis.next(state, codes[r]);
  }
  p.chosen[panel * p.shape.cols + column] = 1;
}

double IntegerFit::bits(uint64_t panel, uint64_t column) const {
  return parts_->column_bits(panel, column);
}

double IntegerFit::bits() const {
  const Parts& p = *parts_;
  if (p.form_bits >= 0) return p.form_bits;
  double sum = 0;
  for (uint64_t i = 0; i < p.chosen.size(); ++i) {
    if (p.chosen[i] != 0) sum += p.column_bits(i / p.shape.cols, i % p.shape.cols);
  }
  return sum;
}

void IntegerFit::update_costs(int threads) { parts_->update(threads); }

FormPtr IntegerFit::form(int threads, float gain) {
  Parts& p = *parts_;
  p.update(threads);
  IntegerSteps steps = p.steps;
  steps.step *= gain;
  FormPtr form = IntegerForm::make(p.shape, p.asked, std::move(steps), p.classes, p.codes, threads);
  p.form_bits = static_cast<double>(form::bits(*form));
  return form;
}

}  // namespace pith::form
