// Published methods that round the matrices of language models after training.
#include <fmt/format.h>

#include "pith/base/error.h"
#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using fit::column_scaled;
using fit::feedback_fitter;
using fit::FeedbackOptions;
using fit::Fitter;
using fit::in_basis;

form::Expression uniform(const Values& values, std::string_view more = "") {
  return form::parse(fmt::format("uniform({}, group={}{})", number(values, "bits", 1, 8),
                                 number(values, "group", 1, 1 << 16), more));
}

void add(std::string_view name, Fitter fitter, Plan& plan) {
  plan.candidates.push_back({std::string(name), std::move(fitter)});
}

constexpr Option kBits = {"bits", "4", "of a code, 1 to 8"};
constexpr Option kGroup = {"group", "128", "neighbours in a row that share a scale"};

void use_gptq(const Values& values, Plan& plan) {
  FeedbackOptions options{.sweeps = 0};
  const std::string& order = values.find("order")->second;
  if (order == "activation") {
    options.order = fit::ColumnOrder::kActivation;
  } else if (order != "natural") {
    fail(ErrorKind::kUsage, "order must be natural or activation, not '{}'", order);
  }
  add("gptq", feedback_fitter(uniform(values, ", zero=true"), options), plan);
}

void use_awq(const Values& values, Plan& plan) {
  const form::Expression e = uniform(values, ", zero=true");
  add("awq", column_scaled(fit::nearest_fitter(e), fit::importance_fitter(e)), plan);
}

void use_spqr(const Values& values, Plan& plan) {
  const uint64_t outliers = number(values, "outliers", 0, 1000);
  const auto e = form::parse(fmt::format(
      "uniform({0}, group={1}, zero=true, scales=uniform(3, group=16, zero=true)) + sparse({2})",
      number(values, "bits", 1, 8), number(values, "group", 1, 1 << 16),
      static_cast<double>(outliers) / 1000));
  add("spqr", feedback_fitter(e, {.sweeps = 0}), plan);
}

void use_adaquant(const Values& values, Plan& plan) {
  const auto sweeps = static_cast<int>(number(values, "sweeps", 1, 100));
  add("adaquant", feedback_fitter(uniform(values), {.sweeps = sweeps}), plan);
}

void use_quest(const Values& values, Plan& plan) {
  const auto e = form::parse(
      fmt::format("uniform({}, group=row, grid=gaussian)", number(values, "bits", 1, 8)));
  add("quest", in_basis(form::parse("hadamard"), fit::nearest_fitter(e)), plan);
  plan.calibrated = false;
}

constexpr std::string_view kVerified =
    "recipe tests on weights with outliers and inputs that are correlated, errors measured on "
    "other "
    "inputs; fit tests of each part.";

}  // namespace

Recipe gptq() {
  Recipe r;
  r.name = "gptq";
  r.id = "GPTQ";  // has no number: the baseline
  r.title = "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers";
  r.area = "weights";
  r.summary =
      "Columns are rounded one after the other; what each leaves is made up for by those after it, "
      "as far as the second moments of the inputs say that they can. The baseline of most others.";
  r.compose = "uniform(4, group=128, zero=true)";
  r.differs =
      "scales are searched by the importance that is left to each column instead of the range; the "
      "factor is QuIP's LDL instead of Cholesky's of the inverse, which gives the same codes.";
  r.verified = kVerified;
  r.example = "pith compress lm --recipe gptq -O bits=3";
  r.parts = {"fit/feedback.h", "fit/quantizers.h"};
  r.options = {
      kBits, kGroup, {"order", "natural", "natural, or activation: by falling importance"}};
  r.place = {.acts = {Act::kQuantized},
             .patterns = {},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"bits", {"2", "3", "4", "5", "6", "8"}}, {"group", {"16", "32", "64", "128", "256"}}};
  r.apply = use_gptq;
  return r;
}

Recipe awq() {
  Recipe r;
  r.name = "awq";
  r.id = "S062";
  r.title = "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration";
  r.area = "weights";
  r.summary =
      "Columns whose inputs are large are scaled up before they are rounded, by a power of the "
      "inputs' size that is searched for each matrix, then the clipping of each group is searched.";
  r.compose = "scale | uniform(4, group=128, zero=true)";
  r.differs =
      "scales are stored beside the matrix, 16 bits a column, instead of folded into the layer "
      "before; sizes are root mean squares; clipping goes with the scale and zero point of each "
      "group by the importance of its columns; the outputs' error is taken over second moments, "
      "not "
      "over tokens.";
  r.verified = kVerified;
  r.example = "pith compress lm --recipe awq -O bits=3";
  r.parts = {"fit/quantizers.h", "form/compose.h"};
  r.options = {kBits, kGroup};
  r.place = {.acts = {Act::kQuantized, Act::kTransformed},
             .patterns = {},
             .criterion = Criterion::kActivation,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"bits", {"2", "3", "4", "5", "6", "8"}}, {"group", {"32", "64", "128", "256"}}};
  r.apply = use_awq;
  return r;
}

Recipe spqr() {
  Recipe r;
  r.name = "spqr";
  r.id = "S064";
  r.title = "SpQR: A Sparse-Quantized Representation for Near-Lossless LLM Weight Compression";
  r.area = "weights";
  r.summary =
      "Tiny groups whose scales and zero points are codes of three bits themselves, rounded with "
      "error feedback, and beside them the few elements that cost their group most, as they are.";
  r.compose =
      "uniform(3, group=16, zero=true, scales=uniform(3, group=16, zero=true)) + sparse(1%)";
  r.differs =
      "a share of outliers is asked for instead of a threshold; they are chosen before feedback "
      "begins, with the least, the largest and the worst element of a group left out by turns; "
      "groups of scales lie along a row.";
  r.verified = kVerified;
  r.example = "pith compress lm --recipe spqr -O outliers=5";
  r.parts = {"fit/feedback.h", "fit/quantizers.h", "form/sparse_fit.h"};
  r.options = {{"bits", "3", "of a code, 1 to 8"},
               {"group", "16", "neighbours in a row that share a scale"},
               {"outliers", "10", "of a thousand elements"}};
  r.place = {.acts = {Act::kQuantized},
             .patterns = {},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"bits", {"2", "3", "4", "5", "6"}},
             {"group", {"16", "32"}},
             {"outliers", {"3", "10", "30"}}};
  r.apply = use_spqr;
  return r;
}

Recipe adaquant() {
  Recipe r;
  r.name = "adaquant";
  r.id = "S089";
  r.title = "Accurate Post Training Quantization With Small Calibration Sets";
  r.area = "weights";
  r.summary =
      "Codes and scales of a layer are learned together, so that its outputs change least: here by "
      "coordinate descent from what error feedback gives, each code and scale to its best beside "
      "all "
      "others. Bits for each layer come from an integer program where a limit is set.";
  r.compose = "uniform(4, group=128)";
  r.differs =
      "descent over codes and scales instead of gradients through a rounding that is not there; "
      "activations stay as they are, and there are neither biases to tune nor batch norms.";
  r.waits = "batch norms and biases that are tuned after it";
  r.verified = kVerified;
  r.example = "pith compress lm --recipe adaquant -O bits=3";
  r.parts = {"fit/feedback.h", "fit/quantizers.h", "budget/solve.h"};
  r.options = {kBits, kGroup, {"sweeps", "8", "over all codes and scales, at most"}};
  r.place = {.acts = {Act::kQuantized},
             .patterns = {},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kIterative,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"bits", {"2", "3", "4", "5", "6", "8"}}, {"group", {"16", "32", "64", "128"}}};
  r.apply = use_adaquant;
  return r;
}

Recipe quest() {
  Recipe r;
  r.name = "quest";
  r.id = "S007";
  r.title = "QuEST: Stable Training of LLMs with 1-Bit Weights and Activations";
  r.area = "weights";
  r.summary =
      "A Hadamard transform makes each row's numbers those of a Gaussian, and a grid that is best "
      "for these rounds them: the rounding after training only, which needs no text.";
  r.compose = "hadamard | uniform(4, group=row, grid=gaussian)";
  r.differs =
      "nothing is trained here, so there is no trust estimator; the grid has the best levels for a "
      "Gaussian instead of evenly spaced ones with the best clipping; activations stay as they "
      "are.";
  r.waits = "training";
  r.verified = kVerified;
  r.example = "pith compress lm --recipe quest -O bits=3";
  r.parts = {"fit/quantizers.h", "form/compose.h"};
  r.options = {kBits};
  r.place = {.acts = {Act::kQuantized, Act::kTransformed},
             .patterns = {},
             .criterion = Criterion::kNothing,
             .moment = Moment::kOneShot,
             .data = Data::kNone,
             .adapts = Adapts::kNothing};
  r.sizes = {{"bits", {"1", "2", "3", "4", "5", "6", "7", "8"}}};
  r.apply = use_quest;
  return r;
}

}  // namespace pith::recipe
