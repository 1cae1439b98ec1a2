// A published method that wraps what it prunes in blocks on diagonals.
#include <fmt/format.h>

#include "pith/fit/block_factors.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

void use_armor(const Values& values, Plan& plan) {
  const fit::BlockFactorOptions options{
      .rounds = static_cast<int>(number(values, "rounds", 1, 1000)),
      .damping = real(values, "damping", 0, 1e3)};
  const std::string_view wrap = word(values, "wrap", {"both", "left", "right"});
  for (const std::string_view keep : list(values, "keep")) {
    for (const std::string_view block : list(values, "block")) {
      const uint64_t size = number({{"block", std::string(block)}}, "block", 1, 1 << 16);
      const std::string around = fmt::format("blockdiag({})", size);
      const std::string text = fmt::format("{}sparse({}){}", wrap == "right" ? "" : around + " * ",
                                           keep, wrap == "left" ? "" : " * " + around);
      const fit::Fitter fitter = fit::block_factor_fitter(form::parse(text), options);
      plan.candidates.push_back({fmt::format("armor {} {}", keep, text), fitter, 0, {}, true});
    }
  }
  leave_vocabulary(plan);
}

}  // namespace

Recipe armor() {
  Recipe r;
  r.name = "armor";
  r.id = "S073";
  r.title = "ARMOR: High-Performance Semi-Structured Pruning via Adaptive Matrix Factorization";
  r.area = "weights";
  r.summary =
      "A 2:4-sparse matrix between two block-diagonal ones, which begin as identities around a "
      "mask "
      "and are fitted by turns; groups of four get the best of their six masks with the best "
      "values.";
  r.compose = "blockdiag(16) * sparse(2:4) * blockdiag(16)";
  r.differs =
      "full second moments of the inputs and the importance of outputs in place of a diagonal over "
      "normalised weights; least squares of A, of each block of B and of each group in place of "
      "steps along gradients; every group is tried in every turn; the start is the better of "
      "NoWag's and Wanda's mask; values are f16.";
  r.verified =
      "recipe tests on the attention of two layers of the reference model, divergence on held-out "
      "text: at 2:4 below Wanda, NoWag and SparseGPT with blocks of 8, and less with each larger "
      "block, whose bytes are counted; fit tests: no turn raises the loss. Wrappers of blocks of b "
      "hold 2 b (inputs + outputs) bytes and multiply b (inputs + outputs) times for each vector "
      "(test Armor over 4, 8, 16 and 32): of 256 inputs and outputs, where a 2:4 core multiplies "
      "32768 times, 2048, 4096, 8192 and 16384 times, 6, 12, 25 and 50% more. Figures for all "
      "layers in docs/fitters-sparse.md. Speed, one thread, the reference model with all layers in "
      "that form: a 2:4 core alone generates 0.40 times as fast as bf16, which the caches hold, and "
      "reads prompts 0.98 times; with wrappers of 8, 16 and 32 it is 0.25, 0.34 and 0.31 times, and "
      "0.48, 0.69 and 0.67 (contradicted here: the paper's speed is that of a processor with 2:4 "
      "products).";
  r.example = "pith compress lm --recipe armor -O block=16";
  r.parts = {"fit/block_factors.h", "fit/masks.h"};
  r.place = {.acts = {Act::kPruned, Act::kFactored},
             .patterns = {Pattern::kElements, Pattern::kGroups},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kIterative,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"1:4", "2:4"}}, {"block", {"8", "16", "32"}}};
  r.options = {{"keep", "2:4", "of the sparse factor: n:m or a share; several share out a limit"},
               {"block", "16", "size of the blocks; several as 8+16+32 share out a limit"},
               {"wrap", "both", "both, left or right: which of the two block-diagonal factors"},
               {"rounds", "12", "turns, at most"},
               {"damping", "0.01", "of the inputs' second moments, as a share of their mean"}};
  r.apply = use_armor;
  return r;
}

}  // namespace pith::recipe
