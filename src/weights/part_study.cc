#include "pith/weights/part_study.h"

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/math/entropy.h"
#include "pith/model/layer_runner.h"

namespace pith::weights {
namespace {

using form::Matrix;
using form::MatrixView;

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 1;
}

double mean_cosine(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (uint64_t r = 0; r < a.shape.rows; ++r) sum += cosine(a.view().row(r), b.view().row(r));
  return sum / static_cast<double>(a.shape.rows);
}

void add_entropies(const Matrix& stream, const StudyOptions& options, int threads,
                   StreamEntropies& out) {
  out.histogram.push_back(math::histogram_entropy(stream.values, options.bins));
  // Tokens from all over the text.
  const uint64_t n = std::min(options.tokens, stream.shape.rows);
  Matrix some({n, stream.shape.cols});
  for (uint64_t i = 0; i < n; ++i) {
    std::ranges::copy(stream.view().row(i * stream.shape.rows / n), some.row(i).begin());
  }
  out.nearest.push_back(
      math::nearest_neighbour_entropy(some.values.data(), n, stream.shape.cols, threads));
}

}  // namespace

PartStudy study_parts(const Reducing& reducing, const StudyOptions& options) {
  const model::DecoderWeights& w = reducing.model.weights();
  const int threads = thread_count(reducing.threads);
  model::LayerRunner runner(reducing.model.config(), reducing.text.length, threads);
  const Progress progress = reducing.progress ? reducing.progress("looking at layers") : Progress();
  Matrix stream = model::embed(*w.embedding, reducing.text.windows);
  PartStudy study;
  add_entropies(stream, options, threads, study.entropies);
  for (uint32_t l = 0; l < w.layers.size(); ++l) {
    model::DecoderLayer attention = w.layers[l], feed_forward = w.layers[l];
    attention.feed_forward.reset();
    attention.experts.reset();
    feed_forward.q = {};
    const Matrix before = stream;
    runner.run(attention, l, stream);
    const Matrix between = stream;
    runner.run(feed_forward, l, stream);
    study.attention.push_back(mean_cosine(before, between));
    study.feed_forward.push_back(mean_cosine(between, stream));
    study.layer.push_back(mean_cosine(before, stream));
    add_entropies(between, options, threads, study.entropies);
    add_entropies(stream, options, threads, study.entropies);
    report(progress, l + 1, w.layers.size());
  }
  return study;
}

model::Reduction without_parts(const model::DecoderConfig& config, PartKind kind,
                               const std::vector<uint32_t>& layers) {
  model::Reduction out{std::vector<model::ReducedLayer>(config.layers)};
  for (const uint32_t l : layers) {
    if (l >= config.layers) {
      fail(ErrorKind::kUsage, "there is no layer {} of {}", l, config.layers);
    }
    if (kind != PartKind::kFeedForward) out.layers[l].heads.emplace();
    if (kind != PartKind::kAttention) out.layers[l].units.emplace();
  }
  return out;
}

}  // namespace pith::weights
