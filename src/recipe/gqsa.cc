// A published method that prunes groups of neighbours and rounds the others.
#include <fmt/format.h>

#include "pith/fit/feedback.h"
#include "pith/fit/masks.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

void use_gqsa(const Values& values, Plan& plan) {
  const uint64_t bits = number(values, "bits", 1, 8), group = number(values, "group", 1, 256);
  const bool whole = word(values, "reconstruct", {"yes", "no"}) == "yes";
  const double damping = real(values, "damping", 0, 1e3);
  for (const std::string_view keep : list(values, "keep")) {
    const auto e = form::parse(
        fmt::format("sparse({}, block={}, values=uniform({}, group={}, zero=true, scales={}))",
                    keep, group, bits, group, values.find("scales")->second));
    form::sparse_options(e);  // refuses what is no share
    plan.candidates.push_back({fmt::format("gqsa {}", keep),
                               whole ? fit::sparse_fitter(e, {.damping = damping})
                                     : fit::mask_fitter(e, fit::Score::kRemoval),
                               0,
                               {},
                               true,
                               rows_of(group, "groups")});
  }
  leave_vocabulary(plan);
}

}  // namespace

Recipe gqsa() {
  Recipe r;
  r.name = "gqsa";
  r.id = "S072";
  r.title = "GQSA: Group Quantization and Sparsity for Accelerating Large Language Model Inference";
  r.area = "weights";
  r.summary =
      "Whole groups of 16 neighbours go, those whose weights cost least to remove on the mean; the "
      "others make up for them and are rounded to 4 bits, each group with a scale and a zero point "
      "of its own.";
  r.compose = "sparse(50%, block=16, values=uniform(4, group=16, zero=true))";
  r.differs =
      "the first stage is least squares and error feedback matrix by matrix, each fitted to what "
      "those before it give, in place of steps along gradients for a block of layers; the second, "
      "training of scales and zero points on a text, is not built. Threads get runs of rows with "
      "as many groups each; rows are not cut, so that sums do not depend on the number of threads.";
  r.waits = "training of scales and zero points";
  r.verified =
      "recipe tests on a generated matrix, errors on other inputs: with reconstruction less than "
      "half of what the mask alone leaves. Attention of two layers of the reference model: "
      "divergence 0.0053 with reconstruction, 0.0252 without, 0.0007 with 75% of the groups; "
      "sparsegpt at 2:4 in 4 bits, 0.03% larger, has 0.0008 and 0.0006 in 16 bits. All layers at "
      "50%: 1.4 with reconstruction, 2.1 without. That 4 bits and half of the groups lose less "
      "than 2:4 is contradicted on a model this small, whose weights have no groups that matter "
      "little. Where an eighth of the rows, side by side, has nearly all groups, the longest of "
      "eight parts takes 0.67 ms of a core when groups are shared out and 2.53 ms when rows are "
      "(form_bench, 4096 x 4096).";
  r.example = "pith compress lm --recipe gqsa -O keep=60%";
  r.parts = {"fit/masks.h", "fit/feedback.h", "form/sparse_fit.h"};
  r.options = {{"keep", "50%", "the share of groups that is kept; several share out a limit"},
               {"bits", "4", "of what is kept, 1 to 8"},
               {"group", "16", "neighbours that go, or are scaled, together; divides the columns"},
               {"scales", "f16", "the form of scales and zero points"},
               {"reconstruct", "yes", "no: weights that are kept do not make up for the others"},
               {"damping", "0.1", "added to the inputs' second moments, as a share of their mean"}};
  r.place = {.acts = {Act::kPruned, Act::kQuantized},
             .patterns = {Pattern::kGroups},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"30%", "40%", "50%", "60%", "80%"}}, {"bits", {"3", "4", "6"}}};
  r.apply = use_gqsa;
  return r;
}

}  // namespace pith::recipe
