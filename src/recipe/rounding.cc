// The baseline of all that rounds: to the nearest code.
#include <fmt/format.h>

#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

void use_rtn(const Values& values, Plan& plan) {
  const auto e =
      form::parse(fmt::format("uniform({}, group={}, zero=true)", number(values, "bits", 1, 8),
                              number(values, "group", 1, 1 << 16)));
  plan.candidates.push_back({"rtn", fit::nearest_fitter(e)});
  plan.calibrated = false;
}

}  // namespace

Recipe rtn() {
  Recipe r;
  r.name = "rtn";
  r.id = "RTN";  // has no number: the baseline
  r.title = "Rounding to nearest";
  r.area = "weights";
  r.summary =
      "Every weight becomes the nearest code of its group's scale and zero point, whatever its "
      "inputs are, so that no text is needed. What papers call RTN and begin from.";
  r.compose = "uniform(4, group=128, zero=true)";
  r.differs =
      "scales and zero points are those of least squared error in their group instead of the "
      "range's.";
  r.verified =
      "a recipe test beside GPTQ: the same layout and bytes, and more error on correlated inputs.";
  r.example = "pith compress lm --recipe rtn -O bits=3";
  r.parts = {"fit/quantizers.h"};
  r.options = {{"bits", "4", "of a code, 1 to 8"},
               {"group", "128", "neighbours in a row that share a scale"}};
  r.place = {.acts = {Act::kQuantized},
             .patterns = {},
             .criterion = Criterion::kMagnitude,
             .moment = Moment::kOneShot,
             .data = Data::kNone,
             .adapts = Adapts::kNothing};
  r.sizes = {{"bits", {"2", "3", "4", "5", "6", "8"}}, {"group", {"16", "32", "64", "128", "256"}}};
  r.apply = use_rtn;
  return r;
}

}  // namespace pith::recipe
