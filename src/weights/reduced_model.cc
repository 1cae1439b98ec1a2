#include "pith/weights/reduced_model.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "changed_inputs.h"
#include "held_out.h"
#include "linears.h"
#include "logit_divergence.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/math/matrix_product.h"
#include "pith/model/gradient.h"
#include "pith/model/session.h"
#include "pith/weights/layer_walk.h"

namespace pith::weights {
namespace {

using form::Matrix;
using model::DecoderConfig;
using model::ReducedLayer;
using model::ReducedWeights;

// With the source that they read.
struct Reduced {
  std::unique_ptr<model::WeightSource> source;
  std::unique_ptr<ReducedWeights> weights;
};

nlohmann::ordered_json block_of(const DecoderConfig& c, uint32_t layer, uint32_t heads) {
  const model::LayerSizes sizes = c.sizes(layer);
  nlohmann::ordered_json attention, ffn;
  attention["no_op"] = sizes.heads == 0;
  attention["replace_with_linear"] = false;
  attention["n_heads_in_group"] = nullptr;
  if (sizes.heads != 0) attention["n_heads_in_group"] = sizes.heads / sizes.kv_heads;
  // Which published configs have no need to say.
  if (sizes.heads != 0 && sizes.heads != heads) attention["num_attention_heads"] = sizes.heads;
  ffn["no_op"] = sizes.feed_forward == 0;
  ffn["replace_with_linear"] = false;
  ffn["ffn_mult"] = nullptr;
  ffn["intermediate_size"] = nullptr;
  if (sizes.feed_forward != 0) ffn["intermediate_size"] = sizes.feed_forward;
  return {{"attention", std::move(attention)}, {"ffn", std::move(ffn)}};
}

Bytes reduced_config(ByteView config, const DecoderConfig& c) {
  auto json = nlohmann::ordered_json::parse(config.begin(), config.end());
  if (c.architecture == model::Architecture::kDeci) {
    json["architectures"] = {"DeciLMForCausalLM"};
    json["model_type"] = model::hf_name(c.architecture);
  }
  const auto heads = json.at("num_attention_heads").get<uint32_t>();
  json["block_configs"] = nlohmann::ordered_json::array();
  for (uint32_t l = 0; l < c.layers; ++l) json["block_configs"].push_back(block_of(c, l, heads));
  const std::string text = json.dump(1) + "\n";
  return {text.begin(), text.end()};
}

uint64_t elements_of(const model::LanguageModel& model) {
  const model::DecoderWeights& w = model.weights();
  uint64_t all = w.embedding->shape().size();
  if (!model.config().tied_embeddings) all += w.head.weight->shape().size();
  for (const model::DecoderLayer& layer : w.layers) {
    for (const model::Linear* l : linears(layer)) all += l->weight->shape().size();
  }
  return all;
}

// The number of the layer, and what of it a matrix is.
std::pair<uint32_t, std::string_view> place_of(std::string_view name) {
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.starts_with(kLayers)) return {0, {}};
  const std::string_view rest = name.substr(kLayers.size());
  uint32_t layer = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  if (error != std::errc()) return {0, {}};
  return {layer, rest.substr(static_cast<size_t>(end - rest.data()))};
}

// The matrix with the columns of kept units, and zeros for the rest: what comes of a part without
// them.
form::FormPtr with_zeros(form::MatrixView weights, uint64_t group, const KeptUnits& kept) {
  Matrix all(weights.shape);
  for (uint64_t r = 0; r < weights.shape.rows; ++r) {
    for (size_t k = 0; k < kept.kept.size(); ++k) {
      for (uint64_t c = 0; c < group; ++c) {
        const uint64_t at = kept.kept[k] * group + c;
        all.row(r)[at] = kept.weights.values.empty() ? weights.row(r)[at]
                                                     : kept.weights.view().row(r)[k * group + c];
      }
    }
  }
  return form::encode(form::parse("dense(f32)"), all.view());
}

// Of the query heads that share one of keys and values.
uint64_t columns_of_group(const DecoderConfig& c, uint32_t layer) {
  const model::LayerSizes sizes = c.sizes(layer);
  return uint64_t{c.head_size} * (sizes.heads / sizes.kv_heads);
}

// Kullback-Leibler divergence over windows of the calibration text.
double divergence_of(const model::LanguageModel& model, const model::LanguageModel& small,
                     const CalibrationText& text, uint64_t windows, int threads) {
  const uint64_t count = std::min(windows, text.count());
  model::Session before(model, text.length, threads);
  model::Session after(small, text.length, threads, before.needed_bytes());
  double sum = 0;
  for (uint64_t w = 0; w < count; ++w) {
    const std::span<const int32_t> ids =
        std::span(text.windows).subspan(w * text.length, text.length);
    for (model::Session* s : {&before, &after}) s->rewind(0);
    const form::MatrixView p = before.feed(ids, model::Logits::kAll);
    const form::MatrixView q = after.feed(ids, model::Logits::kAll);
    std::vector<double> rows(ids.size());
    parallel_for(threads, ids.size(),
                 [&](size_t r) { rows[r] = logit_divergence(p.row(r), q.row(r)); });
    for (const double d : rows) sum += d;
  }
  return sum / static_cast<double>(count * text.length);
}

// Of one thread the time that it computes: what others do on the machine is not the model's.
double clock_seconds(int threads) {
  timespec t;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

void take_units(const HiddenUnits& units, KeptUnits kept, ReducedLayer& layer) {
  if (!units.heads) {
    layer.units = std::move(kept.kept);
    layer.down = std::move(kept.weights);
    return;
  }
  const uint32_t shared = units.sizes.heads / units.sizes.kv_heads;
  layer.heads.emplace();
  for (const uint32_t unit : kept.kept) {
    for (uint32_t h = 0; h < shared; ++h) layer.heads->push_back(unit * shared + h);
  }
  layer.output = std::move(kept.weights);
}

model::Reduction reduce_units(const Reducing& reducing, const KeepUnits& keep, bool in_turn) {
  const DecoderConfig& c = reducing.model.config();
  model::Reduction out{std::vector<ReducedLayer>(c.layers)};
  const Visitor visitor = [&](const Visit& visit) -> form::FormPtr {
    const auto [layer, tail] = place_of(visit.name);
    const bool heads = tail == ".self_attn.o_proj.weight";
    if (visit.role != Role::kLayer || (!heads && tail != ".mlp.down_proj.weight")) return nullptr;
    const Matrix weights = form::decode(*visit.weight);
    const HiddenUnits units{.layer = layer,
                            .heads = heads,
                            .group = heads ? columns_of_group(c, layer) : 1,
                            .sizes = c.sizes(layer),
                            .weights = weights.view(),
                            .inputs = visit.inputs};
    std::optional<KeptUnits> kept = keep(units);
    if (!kept) return nullptr;
    form::FormPtr made = with_zeros(weights.view(), units.group, *kept);
    take_units(units, std::move(*kept), out.layers[layer]);
    return made;
  };
  WalkOptions options{.threads = reducing.threads, .only_look = !in_turn, .progress = {}};
  if (reducing.progress) options.progress = reducing.progress("removing units");
  walk_layers(reducing.model, reducing.text, visitor, options);
  return out;
}

std::map<std::string, std::vector<double>, std::less<>> first_order_scores(
    const Reducing& reducing) {
  const DecoderConfig& c = reducing.model.config();
  std::map<std::string, std::vector<double>, std::less<>> all;
  std::map<std::string, Matrix, std::less<>> weights;
  for (const model::DecoderLayer& layer : reducing.model.weights().layers) {
    if (layer.has_attention()) {
      weights.emplace(layer.output.name, form::decode(*layer.output.weight));
    }
    if (!layer.feed_forward) continue;
    const model::Linear& down = layer.feed_forward->down;
    weights.emplace(down.name, form::decode(*down.weight));
  }
  const uint64_t tokens = reducing.text.windows.size();
  model::GradientObserver observer;
  observer.linear = [&](std::string_view name, form::MatrixView x, form::MatrixView gradients) {
    const auto found = weights.find(name);
    if (found == weights.end()) return;
    const auto [layer, tail] = place_of(name);
    const uint64_t group =
        tail == ".self_attn.o_proj.weight" ? columns_of_group(c, layer) : uint64_t{1};
    const Matrix& w = found->second;
    Matrix at_inputs(x.shape);
    math::matrix_product(
        math::row_major(gradients.data, gradients.shape.rows, gradients.shape.cols),
        math::row_major(w.values.data(), w.shape.rows, w.shape.cols), at_inputs.values.data(),
        x.shape.cols, math::ProductInto::kReplace, thread_count(reducing.threads));
    std::vector<double>& scores = all[std::string(name)];
    scores.resize(x.shape.cols / group);
    for (uint64_t r = 0; r < x.shape.rows; ++r) {
      for (uint64_t u = 0; u < scores.size(); ++u) {
        double sum = 0;
        for (uint64_t k = u * group; k < (u + 1) * group; ++k) {
          sum += double{x.row(r)[k]} * at_inputs.row(r)[k];
        }
        scores[u] += std::abs(sum) / static_cast<double>(tokens);
      }
    }
  };
  model::GradientPass pass(reducing.model, reducing.text.length, reducing.threads,
                           model::next_token_loss(reducing.threads));
  pass.run(reducing.text.windows, observer);
  return all;
}

std::vector<double> token_seconds(std::span<const model::LanguageModel* const> models,
                                  uint64_t position, int threads) {
  // Many short tries: some of them are in nobody's way. Large models take few. The first of a turn
  // brings back into the caches what the other models drove out.
  constexpr int kLeast = 3, kMost = 100, kTries = 4;
  constexpr double kEnough = 1;
  constexpr uint64_t kTokens = 4;
  threads = thread_count(threads);
  std::vector<std::unique_ptr<model::Session>> sessions;
  for (const model::LanguageModel* m : models) {
    sessions.push_back(std::make_unique<model::Session>(*m, position + kTokens, threads));
    sessions.back()->feed(std::vector<int32_t>(position, 1), model::Logits::kNone);
  }
  std::vector<double> best(models.size(), INFINITY);
  const int32_t id = 1;
  double spent = 0;
  const auto attempt = [&](model::Session& session) {
    session.rewind(position);
    const double begin = clock_seconds(threads);
    for (uint64_t t = 0; t < kTokens; ++t) session.feed({&id, 1});
    const double taken = clock_seconds(threads) - begin;
    spent += taken;
    return taken / static_cast<double>(kTokens);
  };
  for (int turn = 0; turn < kLeast || (turn < kMost && spent < kEnough); ++turn) {
    for (size_t m = 0; m < models.size(); ++m) {
      for (int i = 0; i < kTries; ++i) best[m] = std::min(best[m], attempt(*sessions[m]));
    }
  }
  return best;
}

ReducedModel reduced_model(const std::filesystem::path& path, std::vector<archive::Input> inputs,
                           std::string_view text, const Reduce& reduce,
                           const ReduceOptions& options) {
  const auto reduced = std::make_shared<Reduced>();
  reduced->source = model::open_weights(path);
  const model::WeightSource& source = *reduced->source;
  ChangedInputs files(std::move(inputs), source.names());
  const model::LanguageModel before = model::make_model(source);
  const CalibrationText windows = calibration_text(before, text, options.size);
  std::vector<std::string> notes;
  const Reducing reducing{
      .source = source,
      .model = before,
      .text = windows,
      .divergence =
          [&](const model::Reduction& r, uint64_t count) {
            const model::LanguageModel small = model::make_model(ReducedWeights(source, r));
            return divergence_of(before, small, windows, count, thread_count(options.threads));
          },
      .threads = options.threads,
      .progress = options.progress,
      .note = [&](std::string note) { notes.push_back(std::move(note)); }};
  model::Reduction reduction = reduce(reducing);
  reduced->weights = std::make_unique<ReducedWeights>(source, reduction);
  const DecoderConfig& config = reduced->weights->config();
  ChangedModel changed = std::move(files).with(
      {reduced, reduced->weights.get()}, [&](ByteView was) { return reduced_config(was, config); });
  const uint64_t weights = elements_of(changed.model);
  std::optional<HeldOut> measured =
      measure_held_out(before, changed.model, windows, options.threads,
                       options.progress ? options.progress("measuring") : Progress());
  return {.changed = std::move(changed),
          .reduction = std::move(reduction),
          .notes = std::move(notes),
          .weights = weights,
          .measured = measured};
}

}  // namespace pith::weights
