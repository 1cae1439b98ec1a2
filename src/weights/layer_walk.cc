#include "pith/weights/layer_walk.h"

#include <map>
#include <string>
#include <vector>

#include "linears.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/compose.h"
#include "pith/model/layer_runner.h"

namespace pith::weights {
namespace {

using fit::Metric;
using fit::SecondMoment;
using form::FormPtr;
using form::Matrix;
using form::MatrixView;
using model::DecoderLayer;
using model::Linear;

// Second moments of the inputs of several weights; weights that take the same ones share them.
class Moments {
 public:
  explicit Moments(int threads) : threads_(threads) {}

  model::InputObserver observer() {
    return [this](std::span<const std::string_view> names, MatrixView inputs) {
      const auto at = places_.find(names[0]);
      size_t place = moments_.size();
      if (at != places_.end()) {
        place = at->second;
      } else {
        moments_.emplace_back(inputs.shape.cols);
        for (const std::string_view name : names) places_.emplace(name, place);
      }
      moments_[place].add(inputs, threads_);
    };
  }

  // Metrics for a token; the sums are gone then.
  void finish() {
    for (SecondMoment& m : moments_) {
      const auto tokens = static_cast<double>(m.count());
      const uint64_t channels = m.channels();
      counts_.push_back(m.count());
      std::vector<double> matrix = std::move(m).take();
      for (double& v : matrix) v /= tokens;
      metrics_.push_back(Metric::second_moments(channels, std::move(matrix)));
    }
    moments_.clear();
  }

  const Metric& metric(std::string_view name) const {
    static const Metric kNothing;
    const auto at = places_.find(name);
    return at == places_.end() ? kNothing : metrics_[at->second];
  }
  uint64_t tokens(std::string_view name) const {
    const auto at = places_.find(name);
    return at == places_.end() ? 0 : counts_[at->second];
  }

 private:
  int threads_;
  std::map<std::string, size_t, std::less<>> places_;
  std::vector<SecondMoment> moments_;
  std::vector<Metric> metrics_;
  std::vector<uint64_t> counts_;
};

FormPtr in_floats(const form::Form& form) {
  return form::encode(form::parse("dense(f32)"), form::decode(form).view());
}

// The layer where what it gives is not asked for, only what its matrices see.
DecoderLayer only_inputs(DecoderLayer layer) {
  const auto cut = [](model::FeedForward& f) {
    f.down.weight = form::zeros(f.down.weight->shape());
  };
  if (layer.feed_forward) cut(*layer.feed_forward);
  if (!layer.experts) return layer;
  for (model::FeedForward& expert : layer.experts->experts) cut(expert);
  if (layer.experts->shared) cut(*layer.experts->shared);
  return layer;
}

class Walk {
 public:
  Walk(const model::LanguageModel& model, const CalibrationText& text, const Visitor& visitor,
       const WalkOptions& options)
      : model_(model),
        text_(text),
        visitor_(visitor),
        options_(options),
        runner_(model.config(), text.length, options.threads) {
    if (!options.progress) return;
    const model::DecoderWeights& w = model.weights();
    total_ = w.embedding->shape().size();
    for (const DecoderLayer& layer : w.layers) {
      for (const Linear* l : linears(layer)) total_ += l->weight->shape().size();
    }
    if (!model.config().tied_embeddings) total_ += w.head.weight->shape().size();
  }

  void run() {
    const model::DecoderWeights& w = model_.weights();
    FormPtr embedding = w.embedding;
    const Metric nothing;
    if (FormPtr made =
            visit({"model.embed_tokens.weight", Role::kEmbedding, w.embedding, nothing, 0})) {
      embedding = std::move(made);
    }
    Matrix stream = model::embed(*embedding, text_.windows);
    model_.release();
    for (uint32_t l = 0; l < w.layers.size(); ++l) {
      try {
        layer(w.layers[l], l, stream);
        model_.release();
      } catch (const Error& error) {
        throw error.in("layer " + std::to_string(l));
      }
    }
    last(w, stream.view());
  }

 private:
  FormPtr visit(const Visit& v) {
    FormPtr made = visitor_(v);
    if (v.role != Role::kHead || !model_.config().tied_embeddings)
      done_ += v.weight->shape().size();
    report(options_.progress, done_, total_);
    return options_.only_look ? nullptr : made;
  }

  void layer(DecoderLayer layer, uint32_t index, Matrix& stream) {
    Moments moments(options_.threads);
    if (options_.only_look) {
      runner_.run(layer, index, stream, moments.observer());
    } else {
      Matrix seen = stream;
      runner_.run(only_inputs(layer), index, seen, moments.observer());
    }
    moments.finish();
    for (Linear* l : linears(layer)) {
      FormPtr made = visit(
          {l->name, Role::kLayer, l->weight, moments.metric(l->name), moments.tokens(l->name)});
      if (!made) continue;
      // Floats are multiplied faster than they would be decoded for every few tokens.
      l->weight = in_floats(*made);
    }
    if (options_.only_look) return;
    runner_.run(layer, index, stream);
  }

  void last(const model::DecoderWeights& w, MatrixView stream) {
    // The head sees what norms make of the stream; nobody needs its logits.
    Moments moments(options_.threads);
    const model::InputObserver observe = moments.observer();
    const std::string_view name = w.head.name;
    constexpr uint64_t kSome = 256;
    for (uint64_t at = 0; at < stream.shape.rows; at += kSome) {
      const uint64_t n = std::min(kSome, stream.shape.rows - at);
      observe({&name, 1}, runner_.norm(w.norm, {stream.row(at).data(), {n, stream.shape.cols}}));
    }
    moments.finish();
    visit({w.head.name, Role::kHead, w.head.weight, moments.metric(w.head.name),
           moments.tokens(w.head.name)});
  }

  const model::LanguageModel& model_;
  const CalibrationText& text_;
  const Visitor& visitor_;
  const WalkOptions& options_;
  model::LayerRunner runner_;
  uint64_t done_ = 0, total_ = 0;
};

}  // namespace

void walk_layers(const model::LanguageModel& model, const CalibrationText& text,
                 const Visitor& visitor, const WalkOptions& options) {
  Walk(model, text, visitor, options).run();
}

}  // namespace pith::weights
