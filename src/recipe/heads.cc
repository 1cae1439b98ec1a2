// A published method that factors what attention's matrices do together.
#include "pith/base/error.h"
#include "pith/network/joined_heads.h"
#include "pith/weights/joined_heads.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

void use_comcat(const Values& values, Plan& plan) {
  const std::string_view heads = word(values, "heads", {"values", "pairs", "separate"});
  const weights::JoinedOptions o{
      .keep = share("keep", values.find("keep")->second, 1),
      .joined = heads == "values"  ? weights::Joined::kValues
                : heads == "pairs" ? weights::Joined::kPairs
                                   : weights::Joined::kNothing,
      .searched = word(values, "ranks", {"searched", "same"}) == "searched",
      .damping = real(values, "damping", 1e-9, 1e3),
      .factors = form::parse(values.find("factors")->second)};
  if (o.keep <= 0) fail(ErrorKind::kUsage, "keep must be above 0%");
  plan.refine = [o](const weights::Refining& r) { return weights::join_heads(r, o); };
  // Nothing stands between queries and keys of a network, unless its nodes say so.
  const network::JoinOptions joined{.keep = o.keep,
                                    .queries = heads != "separate",
                                    .values = heads != "separate",
                                    .searched = o.searched,
                                    .damping = o.damping,
                                    .factors = o.factors};
  plan.join_layers = [joined](const network::JoiningLayers& j) {
    return network::join_heads(j, joined);
  };
  leave_vocabulary(plan);
}

}  // namespace

Recipe comcat() {
  Recipe r;
  r.name = "comcat";
  r.id = "S169";
  r.title =
      "COMCAT: Towards Efficient Compression and Customization of Attention-Based Vision Models";
  r.area = "weights";
  r.summary =
      "What each head of attention reads as values and writes as outputs is one product, which is "
      "cut down to a rank below the size of the head, in place of each matrix alone; feed-forward "
      "matrices get low ranks. Ranks of all are searched for within a budget.";
  r.compose = "sparse(50%, pattern=rows), sparse(50%, pattern=columns), lowrank(r)";
  r.differs =
      "of networks of ONNX both products of a head are factored, with their biases, wherever "
      "attention is found. In decoders rotations stand between "
      "queries and keys, so that their product has no lower rank; heads=pairs leaves out whole "
      "pairs of elements instead, by default both get low ranks of their own. Directions by the "
      "second moments of what a head gives, ranks by expected divergence (gradients; of networks "
      "by "
      "what an error does to the outputs) in place of a learned search; the output matrix is "
      "fitted to all heads in the end; heads that share "
      "values are cut down together. No training after it; low-rank customization is not built. "
      "Values have the rows of a whole head in the cache.";
  r.waits = "fine-tuning with distillation, low-rank customization";
  r.verified =
      "weights tests: at equal elements less than 0.7 of the error of attention's outputs that low "
      "ranks of each matrix leave, on inputs that were not seen; searched ranks below the same "
      "share of all at equal bytes. Reference model, 80% of the elements, 4096 tokens of "
      "calibration, divergence on 2048 tokens of books-valid: joined 0.0031, separate 0.0076, with "
      "pairs left out 0.0196 in the same bytes, so that joining pays for values and outputs, and "
      "for queries and keys under rotations does not; the same share of all ranks 0.120 in 5% "
      "fewer bytes. A vision transformer of 27,786 weights, 64 images of calibration, squared "
      "error of "
      "the outputs on 1000 others and how often the class stays: with 70% of the elements products "
      "of heads 0.0079 and 96.0%, each matrix alone 0.0252 and 93.6%; with 50% 0.080 and 86.6%, "
      "0.137 and 82.6%; the same share of all ranks, 70%, 0.489 and 42.9%. Pruning of heads at "
      "equal fine-tuning was not compared.";
  r.example = "pith compress lm --recipe comcat -O keep=80%";
  r.parts = {"weights/joined_heads.h", "network/joined_heads.h", "network/attention.h",
             "fit/low_rank.h", "budget/solve.h"};
  r.options = {
      {"keep", "60%", "of the matrices' elements; a limit (--bits, --ratio, …) comes before it"},
      {"heads", "values",
       "what is joined: values with outputs; pairs: queries with keys as well (of networks "
       "always); "
       "separate: nothing"},
      {"ranks", "searched", "searched, or the same share of all"},
      {"damping", "0.01", "added to second moments, as a share of their mean"},
      {"factors", "dense(f16)", "the form of what is kept"}};
  r.place = {.acts = {Act::kFactored, Act::kPruned, Act::kAllocated},
             .patterns = {Pattern::kWhole},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kGradients,
             .adapts = Adapts::kNothing};
  r.needs = {.dense = true, .nearest = "fwsvd"};
  r.apply = use_comcat;
  return r;
}

}  // namespace pith::recipe
