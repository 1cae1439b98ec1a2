#include <algorithm>
#include <cmath>

#include "decoder_kernels.h"
#include "gradient_kernels.h"
#include "layer_gradient.h"
#include "linear.h"

namespace pith::model {

using form::Matrix;
using form::MatrixView;

// y += weight * given: the gradient at the weight is dy · given, that at given is weight * dy.
void ExpertGradient::run_expert(const FeedForward& expert, std::span<const ExpertChoice> choices,
                                MatrixView x, MatrixView dy, Matrix& dx, float* d_weights,
                                const GradientObserver& observer) {
  const uint64_t width = x.shape.cols;
  gather_rows(x, choices, gathered_);
  gather_rows(dy, choices, d_given_);
  feed_forward_.forward(expert, gathered_.view(), &given_);
  for (uint64_t k = 0; k < choices.size(); ++k) {
    const auto d = d_given_.row(k);
    d_weights[k] = static_cast<float>(dot(d.data(), given_.row(k).data(), width));
    for (float& v : d) v *= choices[k].weight;
  }
  feed_forward_.backward(expert, gathered_.view(), d_given_.view(), d_gathered_, observer);
  for (uint64_t k = 0; k < choices.size(); ++k) {
    add(d_gathered_.row(k).data(), width, dx.row(choices[k].row).data());
  }
}

// From the weights of the chosen to the logits of all: a softmax, whose chosen elements were scaled
// to one sum or not.
void ExpertGradient::run_router(const Experts& experts, Matrix& dx) {
  const Matrix& probabilities = room_.router;
  const uint64_t rows = probabilities.shape.rows, all = probabilities.shape.cols;
  reshape(d_router_, rows, all);
  std::ranges::fill(d_router_.values, 0.0F);
  std::vector<double> sums(rows), along(rows);
  const auto probability = [&](const ExpertChoice& c) {
    return double{probabilities.values[c.row * all + c.expert]};
  };
  for (size_t k = 0; k < room_.choices.size(); ++k) {
    const ExpertChoice& c = room_.choices[k];
    sums[c.row] += probability(c);
    along[c.row] += probability(c) * d_weights_[k];
  }
  for (size_t k = 0; k < room_.choices.size(); ++k) {
    const ExpertChoice& c = room_.choices[k];
    const double sum = config_.normalize_experts ? sums[c.row] : 1;
    const double less = config_.normalize_experts ? along[c.row] / sum : 0;
    d_router_.row(c.row)[c.expert] =
        static_cast<float>(config_.expert_scale * (d_weights_[k] - less) / sum);
  }
  for (uint64_t r = 0; r < rows; ++r) {
    softmax_gradient(probabilities.view().row(r).data(), all, d_router_.row(r).data());
  }
  linear_.run(*experts.router, d_router_.view(), dx, true);
}

void ExpertGradient::run_shared(const Experts& experts, MatrixView x, MatrixView dy, Matrix& dx,
                                const GradientObserver& observer) {
  const uint64_t rows = x.shape.rows, width = x.shape.cols;
  feed_forward_.forward(*experts.shared, x, &given_);
  reshape(d_given_, rows, width);
  std::copy_n(dy.data, dy.shape.size(), d_given_.values.data());
  if (experts.shared_gate) {
    form::apply(*experts.shared_gate, x, d_router_, threads_);  // one column
    for (uint64_t r = 0; r < rows; ++r) {
      const auto d = d_given_.row(r);
      const float open = 1.0F / (1.0F + std::exp(-d_router_.values[r]));
      const double d_open = dot(d.data(), given_.row(r).data(), width);
      d_router_.values[r] = static_cast<float>(d_open * open * (1.0 - open));
      for (float& v : d) v *= open;
    }
    linear_.run(*experts.shared_gate, d_router_.view(), dx, true);
  }
  feed_forward_.backward(*experts.shared, x, d_given_.view(), d_gathered_, observer);
  for (uint64_t r = 0; r < rows; ++r) add(d_gathered_.row(r).data(), width, dx.row(r).data());
}

void ExpertGradient::run(const Experts& experts, MatrixView x, MatrixView dy,
                         const LeftOut& left_out, Matrix& dx, const GradientObserver& observer) {
  reshape(dx, x.shape.rows, x.shape.cols);
  std::ranges::fill(dx.values, 0.0F);
  choose_experts(experts, config_, x, left_out, threads_, room_);
  const std::span<const ExpertChoice> choices = room_.choices;
  d_weights_.resize(choices.size());
  for (size_t begin = 0; begin < choices.size();) {
    size_t end = begin;
    while (end < choices.size() && choices[end].expert == choices[begin].expert) ++end;
    run_expert(experts.experts[choices[begin].expert], choices.subspan(begin, end - begin), x, dy,
               dx, d_weights_.data() + begin, observer);
    begin = end;
  }
  run_router(experts, dx);
  if (experts.shared) run_shared(experts, x, dy, dx, observer);
}

}  // namespace pith::model
