// A published method that cuts queries and keys down to a low rank before all is rounded.
#include <fmt/format.h>

#include "pith/fit/feedback.h"
#include "pith/fit/low_rank.h"
#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

// One of these kinds, as "q+k".
bool is_of(std::string_view tensor, const std::vector<std::string>& kinds) {
  for (const std::string& kind : kinds) {
    if (tensor.find(fmt::format(".{}_proj.", kind)) != tensor.npos) return true;
  }
  return false;
}

void use_casp(const Values& values, Plan& plan) {
  const uint64_t group = number(values, "group", 1, 1 << 16);
  const double kept = share("keep", values.find("keep")->second, 1);
  const fit::TruncationOptions options{.damping = real(values, "damping", 0, 1e3)};
  std::vector<std::string> kinds;
  for (const std::string_view kind : list(values, "factored")) {
    word({{"factored", std::string(kind)}}, "factored", {"q", "k", "v", "o", "none"});
    kinds.emplace_back(kind);
  }
  for (const std::string_view text : list(values, "bits")) {
    const uint64_t bits = number({{"bits", std::string(text)}}, "bits", 1, 8);
    const auto codes = form::parse(fmt::format("uniform({}, group={}, zero=true)", bits, group));
    const fit::Fitter whole = fit::feedback_fitter(codes, {.sweeps = 0});
    const fit::Fitter factors = fit::low_rank_of_share(kept, whole, options);
    plan.candidates.push_back({fmt::format("casp {}", bits),
                               [=](const fit::Task& task) {
                                 return is_of(task.name, kinds) ? factors(task) : whole(task);
                               },
                               0,
                               {},
                               true});
  }
  leave_vocabulary(plan);
}

}  // namespace

Recipe casp() {
  Recipe r;
  r.name = "casp";
  r.id = "S130";
  r.title = "CASP: Compression of Large Multimodal Models Based on Attention Sparsity";
  r.area = "weights";
  r.summary =
      "Query and key matrices, whose errors attention feels least where it looks at few places, "
      "are "
      "cut down to a low rank that fits their inputs; then all matrices, factors among them, are "
      "rounded to as many bits each as a limit is best spent on.";
  r.compose =
      "lowrank(r, factors=uniform(3, group=64, zero=true)), uniform(2, group=64, zero=true)";
  r.differs =
      "decoders of text alone, as no vision encoder runs here yet; bits are those of the least sum "
      "of "
      "expected divergences instead of a closed form over layers' importance; the quantizer is "
      "error "
      "feedback on a uniform grid, for factors too: the right one by its inputs, the left one by "
      "what "
      "the right one gives; ranks are the same share everywhere.";
  r.waits = "vision encoders";
  r.verified =
      "recipe tests on layers of the reference model: bits that are shared out lose less than 3 "
      "everywhere at the same bytes; fit tests: factors by error feedback lose less than rounded "
      "ones. Contradicted on this model, 4096 tokens of calibration, divergence on 5120 held-out "
      "tokens: at 3.78 bits of the whole file, 2.7 of the matrices, 0.0620 with queries and keys "
      "factored and 0.0591 with none; a low rank of half the elements at 8 bits loses 0.0042 in "
      "queries and keys and 0.0026 in values and outputs. Nor does sparse attention bear more: of "
      "the "
      "reference model's layers the share of tokens that together get less than a tenth of a "
      "query's attention is 12, 51, 83, 86, 89, 94, 92 and 79%, what low ranks of half the "
      "elements in a layer's queries and keys cost is 0.0001, 0.21, 0.20, 0.43, 0.53, 0.96, 0.74 "
      "and 0.54 thousandths of a nat: a rank correlation of 0.8 where it should be below 0 (test "
      "CaspQuality).";
  r.example = "pith compress lm --recipe casp --bits 6.5";
  r.parts = {"fit/low_rank.h", "fit/feedback.h", "budget/solve.h"};
  r.options = {{"bits", "2+3+4+5+6", "of a code, with + between them"},
               {"group", "64", "neighbours in a row that share a scale and a zero point"},
               {"keep", "75%", "of the elements of matrices that are factored, in both factors"},
               {"factored", "q+k", "which ones: of q, k, v and o, or none"},
               {"damping", "3", "added to the inputs' second moments, as a share of their mean"}};
  r.place = {.acts = {Act::kFactored, Act::kQuantized, Act::kAllocated},
             .patterns = {},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kGradients,
             .adapts = Adapts::kNothing};
  r.sizes = {{"bits", {"2+3+4+5+6"}}};
  r.apply = use_casp;
  return r;
}

}  // namespace pith::recipe
