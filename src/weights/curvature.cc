#include "curvature.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "linears.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/model/gradient.h"

namespace pith::weights {
namespace {

// Of the memory that is there, for blocks of several matrices.
constexpr uint64_t kShareOfMemory = 4;

double mean(std::span<const double> values) {
  return values.empty() ? 0
                        : std::accumulate(values.begin(), values.end(), 0.0) /
                              static_cast<double>(values.size());
}

// Whole pieces of every window, alike from all.
std::vector<int32_t> pieces(const CalibrationText& text, uint64_t tokens, uint64_t most) {
  std::vector<int32_t> out;
  const uint64_t of_window = text.length / tokens;
  uint64_t taken = 0;
  for (uint64_t piece = 0; piece < of_window; ++piece) {
    for (uint64_t w = 0; w < text.count() && taken < most; ++w, ++taken) {
      const auto from =
          text.windows.begin() + static_cast<int64_t>(w * text.length + piece * tokens);
      out.insert(out.end(), from, from + static_cast<int64_t>(tokens));
    }
  }
  return out;
}

}  // namespace

Curvature::Curvature(const model::LanguageModel& model, const CalibrationText& text,
                     const CalibrationStatistics& statistics, const CurvatureNeeds& needs,
                     const std::function<bool(std::string_view)>& wanted, int threads)
    : model_(model),
      text_(text),
      statistics_(statistics),
      needs_(needs),
      threads_(thread_count(threads)) {
  if (needs_.samples == 0) return;
  if (needs_.sample_tokens == 0) fail(ErrorKind::kUsage, "samples need at least one token");
  needs_.sample_tokens = std::min(needs_.sample_tokens, text_.length);
  samples_ = pieces(text_, needs_.sample_tokens, needs_.samples);
  for (const model::DecoderLayer& layer : model_.weights().layers) {
    for (const model::Linear* l : linears(layer)) {
      if (wanted(l->name)) matrices_.push_back({l->name, l->weight->shape()});
    }
  }
}

const fit::Metric* Curvature::output_moments(std::string_view name) {
  moments_.reset();
  if (!needs_.output_moments) return nullptr;
  const TensorStatistics* found = statistics_.find(name);
  if (!found || !found->gradients || name == model_.weights().head.name) return nullptr;
  if (found->gradients->moments.empty()) {
    fail(ErrorKind::kUsage,
         "{}: the statistics have no second moments of its gradients: give the text instead", name);
  }
  return &moments_.emplace(found->gradients->metric());
}

const fit::BlockCurvature* Curvature::of_samples(std::string_view name) {
  const auto wanted = std::ranges::find(matrices_, name, &Matrix::name);
  if (wanted == matrices_.end() || samples_.empty()) return nullptr;
  auto found = made_.find(name);
  if (found == made_.end()) {
    make(static_cast<size_t>(wanted - matrices_.begin()));
    found = made_.find(name);
  }
  // An expert that no token chose has no gradients.
  return found->second.samples() == 0 ? nullptr : &found->second;
}

uint64_t Curvature::bytes(const Matrix& matrix) const {
  return checked_mul(checked_mul(8, needs_.width), matrix.shape.size());
}

// In squares of a sample's gradients, over its tokens.
double Curvature::damping(const Matrix& matrix) const {
  const TensorStatistics* s = statistics_.find(matrix.name);
  double square = 0;
  if (s && s->inputs && s->gradients)
    square = mean(s->inputs->squares) * mean(s->gradients->squares);
  return needs_.damping * (square > 0 ? square : 1);
}

void Curvature::make(size_t first) {
  made_.clear();
  const uint64_t there = model::available_memory().value_or(uint64_t{4} << 30);
  uint64_t taken = 0;
  for (size_t i = first; i < matrices_.size(); ++i) {
    const uint64_t more = bytes(matrices_[i]);
    if (i > first && taken + more > there / kShareOfMemory) break;
    if (more > there) {
      fail(ErrorKind::kLimit, "{}: curvature in blocks of {} needs {:.1f} GB, there are {:.1f} GB",
           matrices_[i].name, needs_.width, static_cast<double>(more) / 1e9,
           static_cast<double>(there) / 1e9);
    }
    taken += more;
    made_.try_emplace(
        matrices_[i].name, matrices_[i].shape,
        fit::BlockCurvatureOptions{.width = needs_.width,
                                   .damping = damping(matrices_[i]),
                                   .samples = samples_.size() / needs_.sample_tokens});
  }
  add_samples();
}

void Curvature::add_samples() {
  const uint64_t tokens = needs_.sample_tokens;
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(tokens)));
  model::GradientPass pass(model_, tokens, threads_, model::next_token_loss(threads_));
  const model::GradientObserver observer = {
      .linear =
          [&](std::string_view tensor, form::MatrixView inputs, form::MatrixView gradients) {
            const auto found = made_.find(tensor);
            if (found == made_.end()) return;
            // Of an expert's rows nobody knows whose they are: all that come at once are one.
            const bool whole = inputs.shape.rows % tokens == 0;
            if (inputs.shape.rows == 0) return;
            found->second.add(inputs, gradients, whole ? tokens : inputs.shape.rows, scale,
                              threads_);
          },
      .embedding = {}};
  const uint64_t some = std::max<uint64_t>(1, model::GradientPass::kMostRows / tokens) * tokens;
  const std::span<const int32_t> all(samples_);
  for (uint64_t at = 0; at < all.size(); at += some) {
    pass.run(all.subspan(at, std::min(some, all.size() - at)), observer);
  }
}

}  // namespace pith::weights
