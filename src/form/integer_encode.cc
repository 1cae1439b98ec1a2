// integer(...) > rans from its expression: the same step for all elements.
#include <algorithm>
#include <cmath>

#include "coders.h"
#include "integer.h"
#include "kinds.h"
#include "pith/form/arguments.h"
#include "pith/form/integer_fit.h"

namespace pith::form {
namespace {

constexpr double kMostBits = 12;
constexpr double kLeastStep = 1e-37, kMostStep = 1e30;
// Elements whose codes are enough to know how many bits all will have.
constexpr uint64_t kSample = 1 << 18;

// Every `stride`-th column of a panel is chosen, of each panel others. Returns how many elements.
uint64_t choose(IntegerFit& fit, MatrixView matrix, double lambda, uint64_t stride) {
  const Shape shape = matrix.shape;
  std::array<float, IntegerFit::kPanelRows> wanted, values;
  uint64_t chosen = 0;
  for (uint64_t p = 0; p < fit.panels(); ++p) {
    const uint64_t first = p * IntegerFit::kPanelRows,
                   n = std::min(IntegerFit::kPanelRows, shape.rows - first);
    for (uint64_t c = p % stride; c < shape.cols; c += stride, chosen += n) {
      for (uint64_t r = 0; r < n; ++r) wanted[r] = matrix.data[(first + r) * shape.cols + c];
      fit.choose(p, c, wanted.data(), lambda, values.data());
    }
  }
  return chosen;
}

struct Fitted {
  IntegerFit fit;
  uint64_t chosen;
};

Fitted fitted(const Expression& expression, const IntegerParameters& p, MatrixView matrix,
              float step, uint64_t stride) {
  IntegerFit fit(
      expression, matrix,
      {step, std::vector<int8_t>(matrix.shape.rows), std::vector<int8_t>(matrix.shape.cols)});
  const double lambda = p.lambda * fit.lambda();
  uint64_t chosen = choose(fit, matrix, lambda, stride);
  fit.update_costs();
  if (lambda > 0) {
    chosen = choose(fit, matrix, lambda, stride);
    fit.update_costs();
  }
  return {std::move(fit), chosen};
}

// The step with which an element has about so many bits.
float step_for(const Expression& expression, const IntegerParameters& p, MatrixView matrix) {
  const Shape shape = matrix.shape;
  double square = 0;
  float largest = 0;
  for (uint64_t i = 0; i < shape.size(); ++i) {
    square += double{matrix.data[i]} * matrix.data[i];
    largest = std::max(largest, std::fabs(matrix.data[i]));
  }
  if (!(square > 0)) return 1;
  const double spread = std::sqrt(square / static_cast<double>(shape.size()));
  // Columns that are looked at, and a few of them at least.
  const uint64_t columns = std::max<uint64_t>(kSample / shape.rows, 64);
  const uint64_t stride = std::max<uint64_t>(1, shape.cols / columns);
  // Besides what codes take, lanes do.
  const uint64_t panel = shape.cols * std::min(kIntegerRows, shape.rows);
  const double lanes =
      24.0 * static_cast<double>(integer_lanes(panel)) / static_cast<double>(panel);
  // The entropy of a normal variable is log2(spread / step) + 2.05 bits, a bit for each halving.
  const double least = std::log2(largest) - 14, most = std::log2(largest) + 2;
  double log_step = std::clamp(std::log2(spread) + 2.05 - p.value, least, most);
  double before = 0, bits_before = 0;
  for (int round = 0; round < 6; ++round) {
    const Fitted sample =
        fitted(expression, p, matrix, static_cast<float>(std::max(std::exp2(log_step), kLeastStep)),
               stride);
    const double bits = sample.fit.bits() / static_cast<double>(sample.chosen) + lanes;
    const double off = bits - p.value;
    if (std::fabs(off) < 0.002) break;
    double slope = -1;
    if (round > 0 && log_step != before)
      slope = std::clamp((bits - bits_before) / (log_step - before), -1.5, -0.2);
    before = log_step;
    bits_before = bits;
    log_step = std::clamp(log_step - off / slope, least, most);
  }
  return static_cast<float>(std::max(std::exp2(log_step), kLeastStep));
}

}  // namespace

IntegerParameters integer_parameters(const Expression& expression) {
  if (!IntegerForm::is_integer(expression)) {
    throw expression.place().error(
        ErrorKind::kUsage, fmt::format("`{}` is no `integer(...) > rans`", to_string(expression)));
  }
  const Expression& call = expression.operands()[0];
  if (coder_of(expression).name != "rans")
    throw call.place().error(ErrorKind::kUsage, "integers are coded by `rans`");
  const Arguments none(expression.operands()[1], {});
  const Arguments args(call, {"bits", "step", "states", "lambda"});
  IntegerParameters p;
  const int64_t states =
      args.integer("states", 1, kMostIntegerStates, IntegerParameters::kDefaultStates);
  if (!IntegerTrellis::exists(states))
    throw args.wrong("states", "1, 4, 8, 16, 32, 64, 128 or 256");
  p.states = static_cast<int>(states);
  p.lambda = args.number("lambda", 0, 16, 1.0);
  if (args.has("bits") && args.has("step")) throw args.wrong("step", "left out beside `bits`");
  if (args.has("bits")) {
    p.size = IntegerParameters::Size::kBits;
    p.value = static_cast<float>(args.number("bits", 0.01, kMostBits));
  } else if (args.has("step")) {
    p.size = IntegerParameters::Size::kStep;
    p.value = static_cast<float>(args.number("step", kLeastStep, kMostStep));
  }
  return p;
}

FormPtr IntegerForm::encode(const Expression& expression, MatrixView matrix) {
  const IntegerParameters p = integer_parameters(expression);
  require_finite(matrix, "integer");
  const float step =
      p.size == IntegerParameters::Size::kStep ? p.value : step_for(expression, p, matrix);
  return fitted(expression, p, matrix, step, 1).fit.form();
}

}  // namespace pith::form
