#include "pith/recipe/checkpoint_prediction.h"

#include <charconv>
#include <utility>

#include "recipes.h"

namespace pith::recipe {
namespace {

template <class T>
T number(const Values& values, std::string_view key) {
  const std::string& text = values.find(key)->second;
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail(ErrorKind::kUsage, "{}={}: not a number", key, text);
  }
  return value;
}

bool is_on(const Values& values, std::string_view key) {
  const std::string& text = values.find(key)->second;
  if (text != "on" && text != "off") fail(ErrorKind::kUsage, "{}={}: on or off", key, text);
  return text == "on";
}

void use(const Values& values, Plan& plan) {
  plan.write.level = parse_level(values.at("level"));
  if (!is_on(values, "lossy")) return;
  const PredictionOptions options{number<int>(values, "bits"), number<double>(values, "prune")};
  check(options);
  plan.losses = std::make_shared<CheckpointLosses>();
  plan.transform = [options, base = plan.write.base, losses = plan.losses](auto inputs) {
    return predict_checkpoint(std::move(inputs), base, options, losses);
  };
}

}  // namespace

Recipe checkpoint_prediction() {
  Recipe r;
  r.name = "checkpoint-prediction";
  r.id = "S233";
  r.title =
      "An Efficient Compression of Deep Neural Network Checkpoints Based on Prediction and Context "
      "Modeling";
  r.area = "weights";
  r.summary =
      "A checkpoint, weights and optimizer moments, is coded against the one saved before it, as "
      "that was "
      "restored: small residuals are pruned, the others replaced by the nearest of a few cluster "
      "centers, and "
      "the index of each is coded arithmetically in the context of the earlier checkpoint's values "
      "at the same "
      "and neighbouring places. Training resumes from what comes back. With lossy=off the same "
      "contexts "
      "code every bit of the checkpoint instead.";
  r.compose = "base + (prune | codebook(2^bits, 1)) > context_mix(base, neighbours)";
  r.differs =
      "counters and logistic mixing in integers instead of an LSTM, so that every machine decodes "
      "the same; second "
      "moments are clustered as logarithms of their ratio to the base, first moments by themselves "
      "where the "
      "residual is larger; tensors of less than 1024 elements stay lossless.";
  r.verified =
      "a language model trained in recipe/checkpoint_prediction_test.cc: smaller than the same "
      "indices under order-0 "
      "arithmetic coding and LZMA and than without the previous checkpoint; resumed training ends "
      "within "
      "the noise of uninterrupted runs. Figures in docs/checkpoints.md.";
  r.example =
      "pith compress step-2000.safetensors --base step-1000.pith --recipe checkpoint-prediction "
      "--set bits=4";
  r.parts = {"recipe/checkpoint_prediction.h",
             "lossless/step_arithmetic.h",
             "lossless/context_mix.h",
             "lossless/codec.h",
             "archive/base.h",
             "archive/writer.h"};
  r.options = {
      {"level", "max", "fast, default or max: below max, nothing is coded in context"},
      {"lossy", "on", "on or off: off gives every bit back"},
      {"bits", "4", "2 to 8: 2^bits - 1 cluster centers (at most 254) besides zero"},
      {"prune", "0.5", "residuals below this share of their root mean square become zero"}};
  r.needs_base = true;
  r.place = {.acts = {Act::kQuantized, Act::kPruned, Act::kCoded},
             .patterns = {Pattern::kElements},
             .criterion = Criterion::kMagnitude,
             .moment = Moment::kOneShot,
             .data = Data::kNone,
             .adapts = Adapts::kNothing};
  r.apply = use;
  return r;
}

}  // namespace pith::recipe
