#include "pith/weights/calibration_statistics.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/model/gradient.h"
#include "pith/model/layer_runner.h"
#include "vector_sums.h"

namespace pith::weights {
namespace {

using form::Matrix;
using form::MatrixView;
using model::DecoderConfig;
using model::LanguageModel;

// Entropy of one value, in bits: in steps of a sixteenth of the root mean square, up to eight of
// it.
double entropy_of(std::span<const float> values) {
  double squares = 0;
  for (const float v : values) squares += double{v} * v;
  if (squares == 0) return 0;
  const double step = std::sqrt(squares / static_cast<double>(values.size())) / 16;
  constexpr double kMost = 127;
  std::array<uint64_t, 255> counts{};
  for (const float v : values) {
    const double at = std::clamp(std::nearbyint(v / step), -kMost, kMost);
    if (!std::isnan(at)) ++counts[static_cast<size_t>(at + kMost)];
  }
  double bits = 0;
  for (const uint64_t count : counts) {
    if (count == 0) continue;
    const double p = static_cast<double>(count) / static_cast<double>(values.size());
    bits -= p * std::log2(p);
  }
  return bits;
}

// The work of a window through a layer or the head, forward or back, is one step.
class Steps {
 public:
  Steps(const Progress& progress, uint64_t all) : progress_(progress), all_(all) {}
  void done(uint64_t steps) {
    done_ += steps;
    report(progress_, std::min(done_, all_), all_);
  }

 private:
  const Progress& progress_;
  uint64_t all_, done_ = 0;
};

constexpr double model::HeadAttention::*kAttentionValues[] = {
    &model::HeadAttention::entropy, &model::HeadAttention::first, &model::HeadAttention::recent,
    &model::HeadAttention::distance};

using Sums = std::map<std::string, std::shared_ptr<VectorSums>, std::less<>>;

class Calibration {
 public:
  Calibration(const LanguageModel& model, std::span<const int32_t> windows, uint64_t window,
              const CalibrationOptions& options)
      : model_(model),
        weights_(model.weights()),
        ids_(windows),
        window_(window),
        options_(options),
        threads_(thread_count(options.threads)),
        input_ids_(windows.first(whole_windows(options.input_tokens))),
        gradient_ids_(windows.first(
            options.gradient_tokens == 0 ? 0 : whole_windows(options.gradient_tokens))),
        steps_(options.progress, steps()) {}

  CalibrationStatistics run() {
    made_.model = weights_hash(model_);
    made_.text = ids_hash(ids_, window_);
    made_.tokens = ids_.size();
    made_.window = window_;
    made_.gradient_tokens = gradient_ids_.size();
    made_.seed = gradient_ids_.empty() ? 0 : options_.seed;
    read_layers();
    if (!gradient_ids_.empty()) read_gradients();
    return std::move(made_);
  }

 private:
  // Tokens of the windows that there are, at least one.
  uint64_t whole_windows(uint64_t tokens) const {
    const uint64_t windows = std::max<uint64_t>(1, tokens / window_);
    return std::min<uint64_t>(windows, ids_.size() / window_) * window_;
  }
  // Back takes about three times as long as forward.
  uint64_t steps() const {
    return (input_ids_.size() + 3 * gradient_ids_.size()) / window_ * weights_.layers.size();
  }

  void take_inputs(const std::string& first, std::span<const std::string_view> names,
                   MatrixView inputs, Sums& sums) {
    auto& sum = sums[first];
    if (!sum) {
      sum = std::make_shared<VectorSums>(inputs.shape.cols, options_.input_moments);
      for (const std::string_view name : names) sums.emplace(name, sum);
    }
    sum->add(inputs, threads_, fmt::format("{}: inputs of {}", model_.where(), first));
  }

  // Gives what was summed of inputs; sums that are shared stay so.
  void keep_inputs(const Sums& sums) {
    std::map<const VectorSums*, std::shared_ptr<const VectorStatistics>> finished;
    for (const auto& [name, sum] : sums) {
      auto& there = finished[sum.get()];
      if (!there) there = sum->finish();
      made_.tensors[name].inputs = there;
    }
  }

  void read_layers() {
    model::LayerRunner runner(model_.config(), window_, threads_);
    Matrix stream = model::embed(*weights_.embedding, input_ids_);
    Sums sums;
    const model::InputObserver observer = [&](std::span<const std::string_view> names,
                                              MatrixView inputs) {
      take_inputs(std::string(names[0]), names, inputs, sums);
    };
    // Some windows at a time, so that progress is told now and then.
    const uint64_t some = std::max<uint64_t>(1, 4 * runner.kMostRows / window_) * window_;
    Matrix part;
    for (uint32_t l = 0; l < weights_.layers.size(); ++l) {
      made_.entropies.push_back(entropy_of(stream.values));
      made_.attention.push_back(attention_of(runner, l, stream.view()));
      for (uint64_t at = 0; at < stream.shape.rows; at += some) {
        const uint64_t n = std::min(some, stream.shape.rows - at), width = stream.shape.cols;
        const auto from = stream.values.begin() + static_cast<int64_t>(at * width);
        part.shape = {n, width};
        part.values.assign(from, from + static_cast<int64_t>(n * width));
        runner.run(weights_.layers[l], l, part, observer);
        std::ranges::copy(part.values, from);
        steps_.done(n / window_);
      }
      keep_inputs(sums);
      sums.clear();
    }
    made_.entropies.push_back(entropy_of(stream.values));
    const std::string& head = weights_.head.name;
    const std::string_view name = head;
    for (uint64_t at = 0; at < stream.shape.rows; at += runner.kMostRows) {
      const uint64_t n = std::min(runner.kMostRows, stream.shape.rows - at);
      const MatrixView rows = {stream.row(at).data(), {n, stream.shape.cols}};
      take_inputs(head, {&name, 1}, runner.norm(weights_.norm, rows), sums);
    }
    keep_inputs(sums);
  }

  std::vector<model::HeadAttention> attention_of(model::LayerRunner& runner, uint32_t layer,
                                                 MatrixView stream) const {
    constexpr uint64_t kTexts = 2;
    const uint64_t texts = std::min(kTexts, stream.shape.rows / window_);
    std::vector<model::HeadAttention> mean;
    for (uint64_t t = 0; t < texts; ++t) {
      const MatrixView text = {stream.row(t * window_).data(), {window_, stream.shape.cols}};
      const auto heads = runner.attention(weights_.layers[layer], layer, text);
      mean.resize(heads.size());
      for (size_t h = 0; h < heads.size(); ++h) {
        for (const auto what : kAttentionValues) {
          mean[h].*what += heads[h].*what / static_cast<double>(texts);
        }
      }
    }
    return mean;
  }

  void read_gradients() {
    model::GradientPass pass(model_, window_, threads_,
                             model::sampled_loss(options_.seed, threads_));
    Sums sums;
    VectorSums lookups(model_.config().width, true);
    made_.token_counts.assign(model_.config().vocabulary, 0);
    const model::GradientObserver observer = {
        .linear =
            [&](std::string_view tensor, MatrixView, MatrixView gradients) {
              auto& sum = sums[std::string(tensor)];
              // No one needs those of a vocabulary, which would be the largest by far.
              const bool moments = options_.gradient_moments && tensor != weights_.head.name;
              if (!sum) sum = std::make_shared<VectorSums>(gradients.shape.cols, moments);
              sum->add(gradients, threads_,
                       fmt::format("{}: gradients of {}", model_.where(), tensor));
            },
        .embedding =
            [&](std::string_view, std::span<const int32_t> ids, MatrixView gradients) {
              lookups.add(gradients, threads_,
                          fmt::format("{}: gradients of embeddings", model_.where()));
              for (const int32_t id : ids) ++made_.token_counts[static_cast<size_t>(id)];
            }};
    const uint64_t some = std::max<uint64_t>(1, pass.kMostRows / window_) * window_;
    for (uint64_t at = 0; at < gradient_ids_.size(); at += some) {
      const uint64_t n = std::min<uint64_t>(some, gradient_ids_.size() - at);
      pass.run(gradient_ids_.subspan(at, n), observer);
      steps_.done(3 * n / window_ * weights_.layers.size());
    }
    for (const auto& [name, sum] : sums) made_.tensors[name].gradients = sum->finish();
    made_.lookups = lookups.finish();
  }

  const LanguageModel& model_;
  const model::DecoderWeights& weights_;
  std::span<const int32_t> ids_;
  uint64_t window_;
  const CalibrationOptions& options_;
  int threads_;
  std::span<const int32_t> input_ids_, gradient_ids_;
  Steps steps_;
  CalibrationStatistics made_;
};

// Bytes of the moments of all layers, and of those that are summed in doubles meanwhile.
uint64_t moment_bytes(const DecoderConfig& c, const CalibrationOptions& options) {
  const auto square = [](uint64_t n) { return n * n; };
  uint64_t inputs = 0, gradients = 0, most = 0;
  for (uint32_t l = 0; l < c.layers; ++l) {
    const model::LayerSizes sizes = c.sizes(l);
    const uint64_t heads = uint64_t{sizes.heads} * c.head_size;
    const uint64_t kv = uint64_t{sizes.kv_heads} * c.head_size;
    const bool mixes = c.has_experts(l);
    const uint64_t inner = mixes ? c.expert_feed_forward : sizes.feed_forward;
    const uint64_t networks = mixes ? c.experts : 1, shared = mixes ? c.shared_feed_forward : 0;
    const uint64_t of_inputs = square(c.width) + square(heads) +
                               networks * (square(c.width) + square(inner)) +
                               (shared ? square(c.width) + square(shared) : 0);
    inputs += of_inputs;
    most = std::max(most, of_inputs);
    gradients += square(heads) + 2 * square(kv) + square(c.width) +
                 networks * (2 * square(inner) + square(c.width)) +
                 (shared ? 2 * square(shared) + square(c.width) : 0);
  }
  uint64_t bytes = 0;
  if (options.input_moments) bytes += 2 * inputs + 8 * most;
  if (options.gradient_moments) bytes += (2 + 8) * gradients;
  return bytes;
}

}  // namespace

const TensorStatistics* CalibrationStatistics::find(std::string_view name) const {
  const auto at = tensors.find(name);
  return at == tensors.end() ? nullptr : &at->second;
}

CalibrationStatistics calibrate(const LanguageModel& model, std::span<const int32_t> windows,
                                uint64_t window, const CalibrationOptions& options) {
  if (window == 0 || windows.empty() || windows.size() % window != 0) {
    fail(ErrorKind::kUsage, "{} tokens for calibration are no whole windows of {}", windows.size(),
         window);
  }
  const uint64_t needed = moment_bytes(model.config(), options);
  const std::optional<uint64_t> there = model::available_memory();
  if (there && needed > *there) {
    fail(ErrorKind::kLimit,
         "{}: second moments of all layers need {:.1f} GB of memory, there are {:.1f} GB: keep "
         "their diagonals only",
         model.where(), static_cast<double>(needed) / 1e9, static_cast<double>(*there) / 1e9);
  }
  return Calibration(model, windows, window, options).run();
}

void require_model(const CalibrationStatistics& statistics, const LanguageModel& model,
                   std::string_view where) {
  if (statistics.model == weights_hash(model)) return;
  fail(ErrorKind::kUsage,
       "{}: made with other weights than those of {}: calibrate again, or give the model that was "
       "calibrated",
       where, model.where());
}

}  // namespace pith::weights
