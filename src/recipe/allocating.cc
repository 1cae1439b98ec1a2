// Published methods that choose for each matrix of a language model which of some forms it gets.
#include <fmt/format.h>

#include <algorithm>

#include "levels.h"
#include "pith/base/error.h"
#include "pith/budget/solve.h"

namespace pith::recipe {
namespace {

using weights::Choosing;
using weights::Proxy;
using Chosen = std::vector<size_t>;

void use_hawq(const Values& values, Plan& plan) {
  add_levels(values, "", plan);
  plan.allocation.proxy = Proxy::kTrace;
  plan.allocation.choose = [](const Choosing& c) {
    budget::Solution s = budget::solve(c.problem, c.goal, {.solver = budget::Solver::kInteger});
    if (!s.optimal()) c.note(s.note);
    return s.chosen;
  };
}

void use_l_greco(const Values& values, Plan& plan) {
  add_levels(values, "", plan);
  const std::vector<std::string_view> levels = list(values, "levels");
  const auto found = std::ranges::find(levels, values.find("reference")->second);
  if (found == levels.end()) fail(ErrorKind::kUsage, "reference: it must be one of the levels");
  const auto at = static_cast<size_t>(found - levels.begin());
  const double times = static_cast<double>(number(values, "alpha", 1, 10'000)) / 100;
  const auto bins = static_cast<uint32_t>(number(values, "bins", 1, 65535));
  plan.allocation.proxy = Proxy::kSquared;
  plan.allocation.keep = true;
  plan.allocation.has_limit = true;
  plan.allocation.choose = [names = names_of(plan), at, times, bins](const Choosing& c) {
    Chosen reference;
    for (const budget::Part& part : c.problem.parts) {
      reference.push_back(candidate_named(part, names, at));
    }
    const double most = times * budget::totals(c.problem, reference).loss;
    const budget::Goal goal{.least = "bytes", .within = {{std::string(budget::kLoss), most}}};
    const budget::Solution s =
        budget::solve(c.problem, goal, {.solver = budget::Solver::kDynamic, .bins = bins});
    if (s.totals.costs[0] > room(c, "bytes")) {
      fail(ErrorKind::kLimit,
           "{:.0f} bytes of matrices are needed for no more squared error than that, {:.0f} are "
           "allowed",
           s.totals.costs[0], room(c, "bytes"));
    }
    return s.chosen;
  };
}

}  // namespace

Recipe hawq() {
  Recipe r;
  r.name = "hawq-v3";
  r.id = "S010";
  r.title = "HAWQ-V3: Dyadic Neural Network Quantization";
  r.area = "weights";
  r.summary =
      "Bits for each matrix from an integer program: least is the sum of squared errors, each "
      "times "
      "the mean of the curvature there, within limits on bytes and on the time that products with "
      "each form take on this machine.";
  r.compose =
      "uniform(4, group=128) or uniform(8, group=128) for each matrix; of a network of "
      "convolutions "
      "uniform(4, group=row) or uniform(8, group=row) for each layer, run in integers alone";
  r.differs =
      "of a language model the trace follows from second moments of inputs and output gradients; "
      "weights only, with error feedback, and a limit on measured time. Of a network of "
      "convolutions (in the library: recipe/network_plan.h) it is Hutchinson's, from second "
      "differences of the loss, and limits are on bytes and bit operations; activations have "
      "scales without zero points, those of residual sums 16 bits. Nothing is trained afterwards.";
  r.waits = "training with the integers; networks in integers from the command";
  r.verified =
      "tests of parts: a residual network of 31,870 weights, its batch norms folded, runs from "
      "codes of "
      "the image to codes of the outputs in integers, with products and shifts for all changes of "
      "scale, and equals its simulation in floats bit for bit at 2, 4, 5 and 8 bits; so does a "
      "linear layer. Recipe tests: that network on held-out images, and a language model against "
      "equal bits, random and reversed choices of the same bytes and against all choices of a "
      "small problem with limits on bytes and time. Of 1000 held-out images (92.0% right in "
      "floats, 91.8% with 8 bits), 2 to 8 bits for the "
      "bytes of 3: 89.2% right, equal bits 84.1%, reversed 60.5%, three random choices 31 to 88%; "
      "for "
      "the bytes of 4: 91.7%, 90.2%, 65.0% and 36 to 90%. Not so for bit operations: as many as 4 "
      "bits "
      "make, 90.0%, where equal bits have 90.2%, reversed 64.8%; as many as 3 make, 80.9% and "
      "84.1%: the "
      "curvature of weights says nothing of inputs that get 2 bits with them. On the reference "
      "language model "
      "(divergence on held-out text): 0.0063 for 3 to 6 bits at the bytes of 4, where equal bits "
      "lose 0.0132; for 4 and 8 bits at 6.0 bits of the file 0.0018, random choices 0.0034 to "
      "0.011, reversed 0.012. Not so: 4 or 8 bits are no better than 6 everywhere (0.0009 at 6.2 "
      "bits of the file). From the command, weights of PP-OCRv4's "
      "classifier of directions, errors of outputs on lines of text that the fit has not seen: 4 "
      "or 8 "
      "bits in 178,624 bytes 0.0091, error feedback with 3 bits everywhere in 171,264 bytes 0.251, "
      "descent over 4 bits in 177,856 bytes 0.165.";
  r.example = "pith compress lm --recipe hawq-v3 --bits 6";
  r.parts = {"budget/solve.h",     "weights/allocation.h",      "weights/speed.h",
             "fit/feedback.h",     "network/integer_network.h", "network/mixed_bits.h",
             "network/curvature.h"};
  r.options = {{"levels", "4+8", "bits of a code, with + between them"}, kGroup};
  r.place = {.acts = {Act::kAllocated, Act::kQuantized},
             .patterns = {},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kGradients,
             .adapts = Adapts::kNothing,
             .knows_hardware = true};
  r.sizes = {{"levels", {"2+3+4+5+6+8"}}};
  r.networks = true;
  r.apply = use_hawq;
  return r;
}

Recipe l_greco() {
  Recipe r;
  r.name = "l-greco";
  r.id = "S046";
  r.title =
      "L-GreCo: Layerwise-Adaptive Gradient Compression for Efficient and Accurate Deep "
      "Learning";
  r.area = "weights";
  r.summary =
      "The fewest bytes whose squared error over all matrices is at most what the same level "
      "everywhere would make: dynamic programming over squared errors in bins.";
  r.compose = "uniform(2 … 8, group=128), or sparse(…), or lowrank(…), one for each matrix";
  r.differs =
      "matrices instead of gradients, so there is one choice and no refresh, and no error is fed "
      "back "
      "over time; squared errors are of the matrices, so nothing is said of what they matter.";
  r.waits = "gradients while a model is trained";
  r.verified =
      "recipe tests: as good as trying all of 46,656 choices for six matrices, never above the "
      "reference's error, fewer bytes for ranks. On the reference model, with no more squared "
      "error "
      "than the reference: 60% pruned 2.3% fewer bytes (divergence 0.313 instead of 0.337). Not so "
      "for "
      "4 bits: 0.1% fewer bytes, as all matrices have much the same error for the same bits.";
  r.example = "pith compress lm --recipe l-greco -O reference=4";
  r.parts = {"budget/solve.h", "weights/allocation.h", "fit/feedback.h", "fit/low_rank.h"};
  r.options = {{"levels", "2+3+4+5+6+8",
                "bits, pruned shares as 60%, ranks as rank25%, or drop, with + between them"},
               kGroup,
               {"reference", "4", "the level that all would have"},
               {"alpha", "100", "percent of its squared error"},
               {"bins", "10000", "of squared error"}};
  r.place = {.acts = {Act::kAllocated, Act::kQuantized, Act::kPruned, Act::kFactored},
             .patterns = {Pattern::kElements},
             .criterion = Criterion::kMagnitude,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"levels", {"2+3+4+5+6+8"}},
             {"reference", {"2", "3", "4", "5", "6", "8"}},
             {"alpha", {"50", "70", "100", "140", "200"}}};
  r.apply = use_l_greco;
  return r;
}

}  // namespace pith::recipe
