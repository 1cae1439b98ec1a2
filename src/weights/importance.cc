#include "importance.h"

#include <algorithm>
#include <numeric>

namespace pith::weights {
namespace {

using fit::Metric;

// Of how often tokens come, so much is the same for all: what calibration's text has not, others
// will have.
constexpr double kAlikeTokens = 0.3;

double mean_square(form::MatrixView w) {
  double sum = 0;
  for (uint64_t i = 0; i < w.shape.size(); ++i) sum += double{w.data[i]} * w.data[i];
  return w.shape.size() == 0 ? 0 : sum / static_cast<double>(w.shape.size());
}

double trace(const Metric& metric) {
  double sum = 0;
  for (uint64_t c = 0; c < metric.columns(); ++c) sum += metric.importance(c);
  return sum;
}

// to += scale * metric, a matrix.
void add(const Metric& metric, double scale, std::vector<double>& to) {
  const auto from = metric.matrix();
  for (size_t i = 0; i < to.size(); ++i) to[i] += scale * from[i];
}

}  // namespace

std::vector<double> Importance::outputs(std::string_view name, form::MatrixView weights) const {
  if (statistics_) {
    const TensorStatistics* found = statistics_->find(name);
    if (found && found->gradients) return found->gradients->squares;
    if (statistics_->gradient_tokens > 0) {
      // Enough to tell rows apart; fitters see to it that something is left of them.
      return std::vector<double>(weights.shape.rows, 1e-30);
    }
  }
  const double square = mean_square(weights);
  return std::vector<double>(weights.shape.rows, square > 0 ? 1 / square : 1);
}

Importance::Rows Importance::embedding(form::MatrixView weights, bool tied,
                                       const Metric& head_inputs) const {
  const uint64_t rows = weights.shape.rows, cols = weights.shape.cols;
  if (!statistics_ || !statistics_->lookups || statistics_->token_counts.size() != rows) {
    return {tied ? head_inputs : Metric(), outputs("model.embed_tokens.weight", weights)};
  }
  const Metric lookups = statistics_->lookups->metric();
  const double tokens = static_cast<double>(std::accumulate(
      statistics_->token_counts.begin(), statistics_->token_counts.end(), uint64_t{0}));
  // Row r costs e (g_r A + f_r B) eᵀ, A of the head's inputs and B of the gradients at lookups.
  // Rows that come often are predicted often, so a product of one matrix with a number for each
  // row is near to that.
  const double a = tied ? trace(head_inputs) : 0, b = trace(lookups);
  const TensorStatistics* head = tied ? statistics_->find("model.embed_tokens.weight") : nullptr;
  const bool heads = head && head->gradients && head_inputs.kind() == Metric::Kind::kSecondMoments;
  Rows out;
  out.outputs.resize(rows);
  double predicted = 0;
  for (uint64_t r = 0; r < rows; ++r) {
    const double often =
        tokens == 0 ? 0 : static_cast<double>(statistics_->token_counts[r]) / tokens;
    const double f = (1 - kAlikeTokens) * often + kAlikeTokens / static_cast<double>(rows);
    const double g = heads ? head->gradients->squares[r] : 0;
    predicted += g;
    out.outputs[r] = g * a + f * b;
  }
  std::vector<double> matrix(cols * cols);
  const double all = predicted * a + b;
  if (!(all > 0)) return {Metric(), outputs("model.embed_tokens.weight", weights)};
  if (heads) add(head_inputs, predicted / all, matrix);
  add(lookups, 1 / all, matrix);
  out.metric = Metric::second_moments(cols, std::move(matrix));
  return out;
}

}  // namespace pith::weights
