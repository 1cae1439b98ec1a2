#include "pith/fit/quantizers.h"

#include <memory>

#include "pith/form/trellis_fit.h"
#include "pith/form/vector_fit.h"

namespace pith::fit {
namespace {

// The factor of the inputs that came last; they are held, so that no others can take their place in
// memory.
struct LastFactor {
  std::span<const double> matrix;
  Metric inputs;
  std::shared_ptr<const ErrorFeedback> feedback;
};

// No other metric has elements where this one has them.
bool same(const LastFactor& last, const Metric& inputs) {
  return last.feedback && inputs.kind() == Metric::Kind::kSecondMoments &&
         last.matrix.data() == inputs.matrix().data();
}

// The nearest codes, or those that feedback finds.
Fitted better_of(const Task& task, const form::Expression& expression,
                 const ErrorFeedback& feedback) {
  Fitted nearest = measured(task, form::encode(expression, task.weights));
  const auto fed = [&] {
    if (form::VectorFit::fits(expression)) {
      return feedback.encode_vectors(nearest.form, task.weights, task.outputs);
    }
    if (form::TrellisFit::fits(expression)) {
      return feedback.encode_paths(nearest.form, task.weights);
    }
    return feedback.encode(expression, task.weights);
  };
  Fitted ours = measured(task, fed().form);
  return better(std::move(nearest), std::move(ours));
}

}  // namespace

Fitter nearest_fitter(const form::Expression& expression) {
  return [expression](const Task& task) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    return measured(task, form::encode(expression, task.weights));
  };
}

Fitter importance_fitter(const form::Expression& expression) {
  return [expression](const Task& task) {
    require_finite(task);
    task.inputs.require(task.weights.shape);
    std::vector<double> importance;
    for (uint64_t c = 0; c < task.weights.shape.cols; ++c) {
      importance.push_back(task.inputs.importance(c));
    }
    const ErrorFeedback alone(Metric::diagonal(std::move(importance)), {.threads = task.threads});
    return better_of(task, expression, alone);
  };
}

Fitter feedback_fitter(const form::Expression& expression, const FeedbackOptions& options) {
  const auto last = std::make_shared<LastFactor>();
  return [expression, options, last](const Task& task) {
    require_finite(task);
    if (!same(*last, task.inputs)) {
      FeedbackOptions own = options;
      if (own.threads == 0) own.threads = task.threads;
      last->feedback = std::make_shared<ErrorFeedback>(task.inputs, own);
      last->inputs = task.inputs;
      last->matrix = task.inputs.matrix();
    }
    return better_of(task, expression, *last->feedback);
  };
}

}  // namespace pith::fit
