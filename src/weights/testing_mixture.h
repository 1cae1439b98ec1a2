// The reference model as a mixture of experts: in place of each feed-forward part eight smaller
// ones, of which every token visits two. Nothing is trained. The inputs of a part fall into
// clusters, a router is fitted to these by least squares, and each expert has the units that matter
// most to the tokens that come to it, read by a matrix that makes up for the others. Test-only.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "../model/testing_model.h"
#include "pith/fit/second_moment.h"
#include "pith/fit/unit_removal.h"
#include "pith/math/cholesky.h"
#include "pith/math/kmeans.h"
#include "pith/model/layer_runner.h"
#include "testing_reference.h"

namespace pith::weights::testing {

struct MixtureOptions {
  uint32_t experts = 8, units = 256;  // of each expert, of 768
  uint64_t tokens = 4096;
  float sharpness = 2;  // of the router: what its logits are multiplied by
};

class Mixture {
 public:
  explicit Mixture(const MixtureOptions& options = {}) : o_(options) {
    const model::LanguageModel& dense = reference().model;
    const CalibrationText text =
        calibration_text(dense, default_calibration_text(), {.tokens = o_.tokens, .window = 128});
    config_ = dense.config();
    config_.architecture = model::Architecture::kMixtral;
    config_.experts = o_.experts;
    config_.experts_per_token = 2;
    config_.expert_feed_forward = config_.feed_forward = o_.units;
    const model::DecoderWeights& w = dense.weights();
    take("model.embed_tokens.weight", *w.embedding);
    take("model.norm.weight", w.norm);
    model::LayerRunner runner(dense.config(), text.length, 2);
    form::Matrix stream = model::embed(*w.embedding, text.windows);
    for (uint32_t l = 0; l < config_.layers; ++l) layer(w.layers[l], l, runner, stream);
    std::filesystem::copy_file(reference().folder / "tokenizer.model",
                               folder_.path() / "tokenizer.model");
    model::testing::write_hf(folder_.path(), config_, tensors_, DType::kBF16);
    model_ = std::make_unique<model::LanguageModel>(model::load_model(folder_.path()));
  }

  const model::LanguageModel& model() const { return *model_; }
  std::filesystem::path path() const { return folder_.path(); }
  std::vector<archive::Input> inputs() const {
    const std::filesystem::path path = folder_.path();
    return archive::expand_inputs(std::span(&path, 1));
  }

 private:
  using Matrix = form::Matrix;

  void take(const std::string& name, const form::Form& form) {
    tensors_[name] = {{form.shape().rows, form.shape().cols}, form::decode(form).values};
  }
  void take(const std::string& name, const std::vector<float>& values) {
    tensors_[name] = {{values.size()}, values};
  }
  void take(const std::string& name, Matrix matrix) {
    tensors_[name] = {{matrix.shape.rows, matrix.shape.cols}, std::move(matrix.values)};
  }

  void layer(const model::DecoderLayer& layer, uint32_t index, model::LayerRunner& runner,
             Matrix& stream) {
    const std::string at = "model.layers." + std::to_string(index) + ".";
    for (const model::Linear* l : {&layer.q, &layer.k, &layer.v, &layer.output}) {
      take(l->name, *l->weight);
    }
    take(at + "input_layernorm.weight", layer.attention_norm);
    take(at + "post_attention_layernorm.weight", layer.feed_forward_norm);
    Matrix inputs, hidden;
    runner.run(layer, index, stream,
               [&](std::span<const std::string_view> names, form::MatrixView x) {
                 const bool is_input = names[0] == layer.feed_forward->gate.name;
                 if (!is_input && names[0] != layer.feed_forward->down.name) return;
                 Matrix& to = is_input ? inputs : hidden;
                 to.shape = {to.shape.rows + x.shape.rows, x.shape.cols};
                 to.values.insert(to.values.end(), x.data, x.data + x.shape.size());
               });
    const Matrix router = fitted_router(inputs.view());
    split(*layer.feed_forward, at + "block_sparse_moe.", router, inputs.view(), hidden.view());
    take(at + "block_sparse_moe.gate.weight", router);
  }

  // Least squares of the clusters' indicators, whose means are taken off.
  Matrix fitted_router(form::MatrixView x) const {
    const uint64_t n = x.shape.rows, width = x.shape.cols;
    const std::vector<float> centroids =
        math::kmeans(std::span(x.data, x.shape.size()), width, {}, o_.experts, {.rounds = 10});
    std::vector<uint32_t> cluster(n);
    math::NearestCentroid nearest(centroids, width);
    nearest(std::span(x.data, x.shape.size()), cluster.data(), 2);
    std::vector<double> sums(o_.experts * width), counts(o_.experts);
    for (uint64_t r = 0; r < n; ++r) {
      counts[cluster[r]] += 1;
      for (uint64_t c = 0; c < width; ++c) sums[cluster[r] * width + c] += x.row(r)[c];
    }
    for (uint64_t c = 0; c < width; ++c) {
      double all = 0;
      for (uint32_t e = 0; e < o_.experts; ++e) all += sums[e * width + c];
      for (uint32_t e = 0; e < o_.experts; ++e) {
        sums[e * width + c] -= counts[e] / static_cast<double>(n) * all;
      }
    }
    fit::SecondMoment moment(width);
    moment.add(x, 2);
    std::vector<double> factor = std::move(moment).take();
    double trace = 0;
    for (uint64_t c = 0; c < width; ++c) trace += factor[c * width + c];
    for (uint64_t c = 0; c < width; ++c) {
      factor[c * width + c] += 0.01 * trace / static_cast<double>(width);
    }
    EXPECT_TRUE(math::cholesky(factor.data(), width, 2));
    std::vector<double> inverse(width * width);
    math::inverse_of_factored(factor.data(), width, inverse.data(), 2);
    Matrix router({o_.experts, width});
    for (uint32_t e = 0; e < o_.experts; ++e) {
      for (uint64_t c = 0; c < width; ++c) {
        double v = 0;
        for (uint64_t k = 0; k < width; ++k) v += sums[e * width + k] * inverse[k * width + c];
        router.row(e)[c] = o_.sharpness * static_cast<float>(v);
      }
    }
    return router;
  }

  // The weights of the two experts of each token, as Mixtral has them; of all others 0.
  Matrix routed(const Matrix& router, form::MatrixView x) const {
    Matrix out({x.shape.rows, o_.experts});
    for (uint64_t r = 0; r < x.shape.rows; ++r) {
      std::vector<std::pair<double, uint32_t>> logits;
      for (uint32_t e = 0; e < o_.experts; ++e) {
        const auto weights = router.view().row(e);
        logits.emplace_back(
            -std::inner_product(weights.begin(), weights.end(), x.row(r).begin(), 0.0), e);
      }
      std::ranges::partial_sort(logits, logits.begin() + 2);
      const double second = std::exp(logits[0].first - logits[1].first);
      out.row(r)[logits[0].second] = static_cast<float>(1 / (1 + second));
      out.row(r)[logits[1].second] = static_cast<float>(second / (1 + second));
    }
    return out;
  }

  void split(const model::FeedForward& whole, const std::string& block, const Matrix& router,
             form::MatrixView x, form::MatrixView hidden) {
    const Matrix gate = form::decode(*whole.gate.weight), up = form::decode(*whole.up.weight),
                 down = form::decode(*whole.down.weight), weights = routed(router, x);
    const uint64_t units = hidden.shape.cols;
    for (uint32_t e = 0; e < o_.experts; ++e) {
      Matrix seen;  // weighted by how much of each comes from here
      for (uint64_t r = 0; r < x.shape.rows; ++r) {
        const float weight = weights.view().row(r)[e];
        if (weight == 0) continue;
        for (const float v : hidden.row(r)) seen.values.push_back(v * std::sqrt(weight));
      }
      seen.shape = {seen.values.size() / units, units};
      fit::SecondMoment moment(units);
      moment.add(seen.view(), 2);
      const fit::UnitMoments moments(fit::Metric::of(std::move(moment)), 1, 0.01, 2);
      std::vector<double> scores(units);
      for (uint64_t r = 0; r < down.shape.rows; ++r) {
        for (uint64_t u = 0; u < units; ++u) {
          scores[u] += moments.at(u, u) * down.view().row(r)[u] * down.view().row(r)[u];
        }
      }
      const std::vector<uint32_t> kept = fit::highest_units(scores, o_.units);
      const std::string at = block + "experts." + std::to_string(e) + ".";
      take(at + "w1.weight", rows_of(gate, kept));
      take(at + "w3.weight", rows_of(up, kept));
      take(at + "w2.weight", fit::folded(moments, down.view(), kept));
    }
  }

  static Matrix rows_of(const Matrix& from, std::span<const uint32_t> rows) {
    Matrix out({rows.size(), from.shape.cols});
    for (size_t k = 0; k < rows.size(); ++k) {
      std::ranges::copy(from.view().row(rows[k]), out.row(k).begin());
    }
    return out;
  }

  MixtureOptions o_;
  model::DecoderConfig config_;
  model::testing::Tensors tensors_;
  model::testing::Folder folder_;
  std::unique_ptr<model::LanguageModel> model_;
};

inline const Mixture& mixture() {
  static const Mixture made;
  return made;
}

}  // namespace pith::weights::testing
