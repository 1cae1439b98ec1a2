#include "gated_model.h"

#include <algorithm>

#include "held_out.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/fit/low_rank.h"
#include "pith/math/matrix_product.h"
#include "pith/model/gradient.h"
#include "pith/weights/layer_walk.h"

namespace pith::weights {
namespace {

using form::Matrix;
using form::MatrixView;

// Of the text, for the directions.
constexpr uint64_t kTokens = 8192;

math::StridedMatrix ref(MatrixView m) {
  return math::row_major(m.data, m.shape.rows, m.shape.cols);
}

}  // namespace

GatedModel::GatedModel(const model::LanguageModel& model, const CalibrationText& text,
                       std::span<const std::string> names, int threads)
    : model_(model), text_(text), threads_(thread_count(threads)) {
  for (const std::string& name : names) {
    places_.emplace(name, matrices_.size());
    matrices_.push_back({.name = name});
  }
  walk_layers(
      model, some_windows(text, kTokens),
      [&](const Visit& v) -> form::FormPtr {
        const auto found = places_.find(v.name);
        if (v.role != Role::kLayer || found == places_.end()) return nullptr;
        const Matrix weights = form::decode(*v.weight);
        const fit::Truncation all(
            {.name = v.name, .weights = weights.view(), .inputs = v.inputs, .threads = threads_},
            std::min(weights.shape.rows, weights.shape.cols),
            {.damping = 0, .by = fit::Weighing::kMoments});
        Directions& d = matrices_[found->second];
        d.left = all.left(all.rank());
        d.right = all.right(all.rank());
        return nullptr;
      },
      {.threads = threads_, .only_look = true, .progress = {}});
}

form::FormPtr GatedModel::gated(const Directions& d, std::span<const float> gates) const {
  Matrix scaled = d.right, weights({d.left.shape.rows, d.right.shape.cols});
  for (uint64_t k = 0; k < scaled.shape.rows; ++k) {
    for (float& v : scaled.row(k)) v *= gates[k];
  }
  math::matrix_product(ref(d.left.view()), ref(scaled.view()), weights.values.data(),
                       weights.shape.cols, math::ProductInto::kReplace, threads_);
  return form::encode(form::parse("dense(f32)"), weights.view());
}

double GatedModel::loss(const Gates& gates, uint64_t first, uint64_t windows,
                        Gradient& gradient) const {
  if (gates.size() != matrices_.size()) fail(ErrorKind::kUsage, "gates of other matrices");
  FormsByName forms;
  gradient.assign(gates.size(), {});
  for (size_t i = 0; i < gates.size(); ++i) {
    if (gates[i].size() != directions(i)) {
      fail(ErrorKind::kUsage, "{}: {} gates for {} directions", matrices_[i].name, gates[i].size(),
           directions(i));
    }
    gradient[i].resize(gates[i].size());
    if (directions(i) > 0) forms.emplace(matrices_[i].name, gated(matrices_[i], gates[i]));
  }
  const model::GradientObserver observer = {
      .linear =
          [&](std::string_view tensor, MatrixView inputs, MatrixView gradients) {
            const auto found = places_.find(tensor);
            if (found == places_.end() || directions(found->second) == 0) return;
            const Directions& d = matrices_[found->second];
            const uint64_t rows = inputs.shape.rows, n = d.right.shape.rows;
            // What each direction gives, and what the loss says of it, row by row.
            Matrix given({rows, n}), felt({rows, n});
            math::matrix_product(ref(inputs), ref(d.right.view()).transposed(), given.values.data(),
                                 n, math::ProductInto::kReplace, threads_);
            math::matrix_product(ref(gradients), ref(d.left.view()), felt.values.data(), n,
                                 math::ProductInto::kReplace, threads_);
            std::vector<double>& sums = gradient[found->second];
            for (uint64_t r = 0; r < rows; ++r) {
              for (uint64_t k = 0; k < n; ++k) {
                sums[k] += double{given.row(r)[k]} * felt.row(r)[k];
              }
            }
          },
      .embedding = {}};
  const model::LanguageModel model = with_weights(model_, forms);
  model::GradientPass pass(model, text_.length, threads_, model::next_token_loss(threads_));
  std::vector<int32_t> ids;
  for (uint64_t w = first; w < first + windows; ++w) {
    const auto begin =
        text_.windows.begin() + static_cast<std::ptrdiff_t>(w % text_.count() * text_.length);
    ids.insert(ids.end(), begin, begin + static_cast<std::ptrdiff_t>(text_.length));
  }
  const auto tokens = static_cast<double>(windows * (text_.length - 1));
  const double sum = pass.run(ids, observer);
  for (std::vector<double>& of_matrix : gradient) {
    for (double& v : of_matrix) v /= tokens;
  }
  return sum / tokens;
}

}  // namespace pith::weights
