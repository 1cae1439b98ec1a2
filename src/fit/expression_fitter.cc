#include "pith/fit/expression_fitter.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "pith/fit/quantizers.h"
#include "pith/fit/water_filling.h"
#include "pith/form/arguments.h"
#include "pith/form/ggml_fit.h"
#include "pith/form/sparse_fit.h"
#include "pith/form/trellis_fit.h"
#include "pith/form/vector_fit.h"

namespace pith::fit {
namespace {

using form::Expression;

// The leaf whose codes a coder codes; null for other expressions.
const Expression* leaf(const Expression& expression) {
  const Expression* at = &expression;
  while (at->kind() == Expression::Kind::kCoder) at = &at->operands()[0];
  return at->is_call() ? at : nullptr;
}

bool is_uniform(const Expression& expression) {
  const Expression* form = leaf(expression);
  return form && form->name() == "uniform";
}

// What ErrorFeedback takes of forms with fixed codes.
bool feeds_back(const Expression& e) {
  if (e.kind() == Expression::Kind::kSum && e.operands().size() == 2) {
    const Expression& last = e.operands()[1];
    const bool sparse = last.is_call() && last.name() == "sparse";
    return sparse && is_uniform(e.operands()[0]) && form::sparse_options(last).is_free();
  }
  return is_uniform(e) || form::GgmlFit::fits(e) || form::VectorFit::fits(e) ||
         form::TrellisFit::fits(e);
}

// The same behind bases.
bool is_fitted(const Expression& e) {
  if (e.kind() == Expression::Kind::kBasis) return is_fitted(e.operands()[1]);
  return feeds_back(e);
}

// Steps are tried until the form has the bits that were asked for, or few less.
class IntegerFitter {
 public:
  IntegerFitter(const Expression& expression, double bits)
      : bits_(bits), filling_({.step = 1, .expression = expression}) {}

  Fitted operator()(const Task& task) {
    constexpr int kTries = 4;
    constexpr double kNear = 0.003;  // bits
    const auto n = static_cast<double>(std::max<uint64_t>(task.weights.shape.size(), 1));
    double octaves = std::log2(filling_.step_for(task, bits_));
    Fitted best;
    for (int i = 0; i < kTries; ++i) {
      filling_.set_step(std::exp2(octaves));
      Fitted fitted = filling_(task);
      const double bits = static_cast<double>(form::bits(*fitted.form)) / n;
      const bool within = bits <= bits_;
      if (!best.form || within) best = std::move(fitted);
      if (within && bits > bits_ - kNear) break;
      octaves += bits - bits_ + kNear / 2;
    }
    return measured(task, best.form);
  }

 private:
  double bits_;
  WaterFilling filling_;
};

}  // namespace

Fitter expression_fitter(const Expression& expression) {
  if (feeds_back(expression)) return feedback_fitter(expression, {.damping = 0.03});
  // Inner forms that are fitted, with second moments in the basis's coordinates.
  if (expression.kind() == Expression::Kind::kBasis && is_fitted(expression.operands()[1])) {
    const Fitter within =
        in_basis(expression.operands()[0], expression_fitter(expression.operands()[1]));
    const Fitter nearest = nearest_fitter(expression);
    return [within, nearest](const Task& task) { return better(nearest(task), within(task)); };
  }
  const Expression* form = leaf(expression);
  if (form && form->name() == "integer") {
    const form::Arguments arguments(*form, {"bits", "step", "states", "lambda"});
    if (arguments.has("bits")) {
      const double bits = arguments.number("bits", 0, 32);
      auto fitter = std::make_shared<IntegerFitter>(expression, bits);
      return [fitter](const Task& task) { return (*fitter)(task); };
    }
  }
  return [expression](const Task& task) {
    return measured(task, form::encode(expression, task.weights));
  };
}

}  // namespace pith::fit
