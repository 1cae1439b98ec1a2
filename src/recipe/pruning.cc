// Published methods that remove weights after training.
#include <fmt/format.h>

#include "pith/base/error.h"
#include "pith/fit/block_curvature.h"
#include "pith/fit/feedback.h"
#include "pith/fit/greedy_removal.h"
#include "pith/fit/kronecker_removal.h"
#include "pith/fit/masks.h"
#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using fit::Fitter;

constexpr Option kGroup = {"group", "64", "neighbours in a row that share a scale, with bits"};

// One thing to keep and how: "50%", "2:4" or "all", and bits of the values, 0 as they are.
struct Level {
  std::string keep, bits;
  bool sparse() const { return keep != "all"; }
  std::string name(std::string_view recipe) const {
    return fmt::format("{} {}{}", recipe, keep,
                       bits == "0" ? "" : fmt::format(" in {} bits", bits));
  }
};

// Of each level the expression: `more` stands behind what is kept.
form::Expression expression_of(const Level& level, uint64_t group, std::string_view more = "") {
  const std::string codes = fmt::format("uniform({}, group={})", level.bits, group);
  if (!level.sparse()) return form::parse(codes);
  return form::parse(fmt::format("sparse({}{}{})", level.keep, more,
                                 level.bits == "0" ? "" : ", values=" + codes));
}

std::vector<Level> levels_of(const Values& values) {
  std::vector<Level> out;
  for (const std::string_view keep : list(values, "keep")) {
    for (const std::string_view bits : list(values, "bits")) {
      if (bits != "0") number({{"bits", std::string(bits)}}, "bits", 1, 8);
      if (keep == "all" && bits == "0") {
        fail(ErrorKind::kUsage, "keep=all leaves nothing to do without bits");
      }
      out.push_back({std::string(keep), std::string(bits)});
    }
  }
  return out;
}

void add(std::string name, Fitter fitter, Plan& plan, Fitter trial = {}, bool whole = false) {
  plan.candidates.push_back({std::move(name), std::move(fitter), 0, std::move(trial), whole});
}

constexpr Option kKeep = {"keep", "50%",
                          "what is kept: a share, or n:m; several as 40%+60% share out a limit"};
constexpr Option kKeepOrAll = {
    "keep", "50%", "what is kept: a share, n:m or all; several as 40%+60% share out a limit"};
constexpr Option kBits = {"bits", "0", "of what is kept, 1 to 8, or several; 0: 16, as it is"};

void use_masks(fit::Score score, fit::Among among, std::string_view name, const Values& values,
               Plan& plan) {
  for (const std::string_view keep : list(values, "keep")) {
    add(fmt::format("{} {}", name, keep),
        fit::mask_fitter(form::parse(fmt::format("sparse({})", keep)), score, among), plan);
  }
  leave_vocabulary(plan);
}

void use_wanda(const Values& values, Plan& plan) {
  use_masks(fit::Score::kActivation, fit::Among::kRow, "wanda", values, plan);
}

void use_nowag(const Values& values, Plan& plan) {
  use_masks(fit::Score::kNormalized, fit::Among::kAll, "nowag", values, plan);
}

void use_sparsegpt(const Values& values, Plan& plan) {
  const uint64_t group = number(values, "group", 1, 1 << 16);
  for (const Level& level : levels_of(values)) {
    if (!level.sparse()) fail(ErrorKind::kUsage, "keep must be a share or n:m, not 'all'");
    add(level.name("sparsegpt"), fit::sparse_fitter(expression_of(level, group)), plan);
  }
  leave_vocabulary(plan);
}

void use_obc(const Values& values, Plan& plan) {
  const uint64_t group = number(values, "group", 1, 1 << 16);
  for (const Level& level : levels_of(values)) {
    const form::Expression e = expression_of(level, group);
    // What comes of a level is near to what feedback gives in a fraction of the time.
    add(level.name("obc"), fit::greedy_fitter(e), plan,
        level.sparse() ? fit::sparse_fitter(e) : fit::feedback_fitter(e, {.sweeps = 0}));
  }
  leave_vocabulary(plan);
}

void use_obert(const Values& values, Plan& plan) {
  const uint64_t block = number(values, "block", 1, 16);
  const uint64_t group = number(values, "group", 1, 1 << 16);
  plan.curvature.samples = number(values, "samples", 1, 1 << 20);
  plan.curvature.sample_tokens = number(values, "tokens", 1, 1 << 16);
  plan.curvature.width = number(values, "width", 1, 1024);
  plan.curvature.damping = real(values, "damping", 1e-9, 1e3);
  if (plan.curvature.width % block != 0) {
    fail(ErrorKind::kUsage, "blocks of {} do not divide width {}", block, plan.curvature.width);
  }
  for (const Level& level : levels_of(values)) {
    if (!level.sparse()) fail(ErrorKind::kUsage, "keep must be a share, not 'all'");
    const auto e = expression_of(level, group, block == 1 ? "" : fmt::format(", block={}", block));
    add(level.name("obert"), fit::curvature_fitter(e), plan, {}, true);
    plan.candidates.back().check = rows_of(block, "blocks");
  }
  leave_vocabulary(plan);
}

void use_llm_surgeon(const Values& values, Plan& plan) {
  const std::string_view pattern = word(values, "pattern", {"rows", "columns", "elements"});
  const fit::KroneckerOptions options{.damping = real(values, "damping", 0, 1e3),
                                      .shots = static_cast<int>(number(values, "shots", 1, 100))};
  const std::string more =
      pattern == "elements" ? std::string() : fmt::format(", pattern={}", pattern);
  for (const std::string_view keep : list(values, "keep")) {
    const auto e = form::parse(fmt::format("sparse({}{})", keep, more));
    // In one shot where it is only tried.
    fit::KroneckerOptions once = options;
    once.shots = 1;
    add(fmt::format("llm-surgeon {}", keep), fit::kronecker_fitter(e, {}, options), plan,
        fit::kronecker_fitter(e, {}, once), true);
  }
  plan.curvature.output_moments = true;
  leave_vocabulary(plan);
}

}  // namespace

void leave_vocabulary(Plan& plan) {
  plan.write.forms.push_back(
      archive::lossless_rule("embed_tokens|lm_head|token_embd|^output\\.weight$"));
}

Recipe wanda() {
  Recipe r;
  r.name = "wanda";
  r.id = "Wanda";  // has no number: a baseline
  r.title = "A Simple and Effective Pruning Approach for Large Language Models";
  r.area = "weights";
  r.summary =
      "What is small times the size of its inputs goes, the same share of every row; the rest "
      "stays "
      "as it is. A baseline.";
  r.compose = "sparse(50%)";
  r.differs = "nothing but that embeddings stay as they are.";
  r.verified = "recipe tests against the largest weights on held-out text; fit tests of masks.";
  r.example = "pith compress lm --recipe wanda -O keep=2:4";
  r.parts = {"fit/masks.h"};
  r.options = {kKeep};
  r.place = {.acts = {Act::kPruned},
             .patterns = {Pattern::kElements, Pattern::kGroups},
             .criterion = Criterion::kActivation,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"5%", "10%", "15%", "20%", "25%", "30%", "40%", "50%", "60%", "80%"}}};
  r.apply = use_wanda;
  return r;
}

Recipe sparsegpt() {
  Recipe r;
  r.name = "sparsegpt";
  r.id = "SparseGPT";  // has no number: a baseline
  r.title = "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot";
  r.area = "weights";
  r.summary =
      "Column by column the weights that cost least go, and later columns make up for them; what "
      "is "
      "kept may be rounded on the way. A baseline.";
  r.compose = "sparse(50%, values=uniform(4, group=64))";
  r.differs =
      "values are the least squares over what is kept instead of what the way leaves, and Wanda's "
      "choice is taken where it leaves less.";
  r.verified = "recipe tests against the largest weights on held-out text; fit tests of feedback.";
  r.example = "pith compress lm --recipe sparsegpt -O keep=2:4 -O bits=4";
  r.parts = {"fit/feedback.h", "fit/masks.h"};
  r.options = {kKeep, kBits, kGroup};
  r.place = {.acts = {Act::kPruned, Act::kQuantized},
             .patterns = {Pattern::kElements, Pattern::kGroups},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"15%", "30%", "40%", "50%", "60%", "80%"}}, {"bits", {"3", "4", "6"}}};
  r.apply = use_sparsegpt;
  return r;
}

Recipe obc() {
  Recipe r;
  r.name = "obc";
  r.id = "S226";
  r.title =
      "Optimal Brain Compression: A Framework for Accurate Post-Training Quantization and Pruning";
  r.area = "weights";
  r.summary =
      "In every row the weight that costs least is removed, or rounded, and all others make up for "
      "it, one at a time, exactly. Of several levels each matrix gets one, so that a limit is met "
      "with the least loss.";
  r.compose = "sparse(50%), sparse(2:4), uniform(3, group=64), sparse(50%, values=uniform(4))";
  r.differs =
      "levels are shared out by a limit's solver over fits to some rows by error feedback, which "
      "come near to it, instead of by dynamic programming over a database of all levels of "
      "removal; "
      "values are 16 bits where they are not rounded; no batch norms are corrected.";
  r.verified =
      "recipe tests on the attention of two layers of the reference model, divergence on held-out "
      "text: below the largest weights at 50% and 2:4, 3-bit codes below the nearest ones, levels "
      "that share out a limit below one for all at the same size; figures for all layers in "
      "docs/fitters-sparse.md. Networks for images were not tried.";
  r.example = "pith compress lm --recipe obc -O keep=40%+50%+60%+80% --bits 10";
  r.parts = {"fit/greedy_removal.h", "budget/solve.h"};
  r.options = {kKeepOrAll, kBits, kGroup};
  r.place = {.acts = {Act::kPruned, Act::kQuantized, Act::kAllocated},
             .patterns = {Pattern::kElements, Pattern::kGroups},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kIterative,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"25%+50%+75%"}}, {"bits", {"2+3+4+6"}}};
  r.apply = use_obc;
  return r;
}

Recipe nowag() {
  Recipe r;
  r.name = "nowag";
  r.id = "S256";
  r.title = "NoWag: A Unified Framework for Shape Preserving Compression of Large Language Models";
  r.area = "weights";
  r.summary =
      "Weights in units of their column's and then their row's norm, squared, times the mean "
      "square "
      "of their inputs: what is least of a whole matrix, or of each group of n:m, goes.";
  r.compose = "sparse(50%)";
  r.differs =
      "norms are not stored: what is kept is the weight itself, which is the same; NoWag-VQ is not "
      "part of this.";
  r.verified =
      "recipe tests on two layers of the reference model at 50% and 2:4: divergence on held-out "
      "text "
      "within a tenth of Wanda's; figures for all layers in docs/fitters-sparse.md. There it is at "
      "Wanda's side.";
  r.example = "pith compress lm --recipe nowag -O keep=2:4";
  r.parts = {"fit/masks.h"};
  r.options = {kKeep};
  r.place = {.acts = {Act::kPruned},
             .patterns = {Pattern::kElements, Pattern::kGroups},
             .criterion = Criterion::kActivation,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"5%", "10%", "15%", "20%", "25%", "30%", "40%", "50%", "60%", "80%"}}};
  r.apply = use_nowag;
  return r;
}

Recipe obert() {
  Recipe r;
  r.name = "obert";
  r.id = "S070";
  r.title =
      "The Optimal BERT Surgeon: Scalable and Accurate Second-Order Pruning for Large Language "
      "Models";
  r.area = "weights";
  r.summary =
      "Gradients of samples give the empirical Fisher in blocks of neighbours; the weights, or "
      "groups of four, whose removal costs least by it go, and the rest of their block makes up "
      "for "
      "them.";
  r.compose = "sparse(10%), sparse(10%, block=4, values=uniform(8, group=64))";
  r.differs =
      "one shot after training, without a schedule, distillation, quantization-aware training or "
      "layers dropped; samples are pieces of a text; the threshold is one for each matrix, and for "
      "all where several levels share out a limit; damping is relative.";
  r.waits = "schedules, distillation";
  r.verified =
      "recipe tests on the attention of two layers of the reference model: divergence on held-out "
      "text below the largest weights at 50% and 90% sparsity; fit tests hold Woodbury's inverse "
      "against the definition; figures for all layers in docs/fitters-sparse.md. Speed and size of "
      "the paper's compound with training were not tried.";
  r.example = "pith compress lm --recipe obert -O keep=30%+40%+50%+60%+80% --bits 10";
  r.parts = {"fit/block_curvature.h", "model/gradient.h", "budget/solve.h"};
  r.options = {{"keep", "50%", "the share that is kept; several as 40%+60% share out a limit"},
               {"block", "1", "neighbours in a row that go together; divides width"},
               kBits,
               kGroup,
               {"samples", "256", "gradients, or as many as the text has"},
               {"tokens", "64", "of a sample"},
               {"width", "48", "weights of a block of curvature"},
               {"damping", "0.001", "as a share of the mean square of a gradient"}};
  r.place = {.acts = {Act::kPruned, Act::kQuantized},
             .patterns = {Pattern::kElements, Pattern::kGroups},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kGradients,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"15%+30%+50%+75%"}}, {"bits", {"4+8"}}};
  r.apply = use_obert;
  return r;
}

Recipe llm_surgeon() {
  Recipe r;
  r.name = "llm-surgeon";
  r.id = "S154";
  r.title = "The LLM Surgeon";
  r.area = "weights";
  r.summary =
      "Rows, columns or elements go by the curvature G ⊗ A, second moments of the gradients at the "
      "outputs and of the inputs, in several shots; what is left makes up for them.";
  r.compose = "sparse(75%, pattern=rows), sparse(75%, pattern=columns), sparse(50%)";
  r.differs =
      "G is of the model as it was, A of the layers before as they are compressed; shots go over "
      "one matrix with costs anew, and gradients are not made again; one threshold over all "
      "matrices is several levels that share out a limit; no LoRA between shots; rows or columns, "
      "not both.";
  r.waits = "adapters between shots";
  r.verified =
      "recipe tests on the reference model, a quarter of the columns of two layers removed: "
      "divergence on held-out text falls from the longest columns over the mask alone and the "
      "inputs' curvature alone to both in one shot and in five; levels of rows that share out a "
      "limit lose less than one for all; figures for all layers in docs/fitters-sparse.md.";
  r.example = "pith compress lm --recipe llm-surgeon -O keep=60%+75%+90%+100% --bits 12.5";
  r.parts = {"fit/kronecker_removal.h", "model/gradient.h", "budget/solve.h"};
  r.options = {{"pattern", "columns", "what goes: rows, columns or elements"},
               {"keep", "75%", "the share that is kept; several as 60%+90% share out a limit"},
               {"shots", "5", "rows and columns go in so many parts, with costs anew in between"},
               {"damping", "0.01", "of both factors, as a share of their mean"}};
  r.place = {.acts = {Act::kPruned, Act::kAllocated},
             .patterns = {Pattern::kElements, Pattern::kWhole},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kIterative,
             .data = Data::kGradients,
             .adapts = Adapts::kNothing};
  r.sizes = {{"keep", {"15%+30%+50%+75%+100%"}}};
  r.apply = use_llm_surgeon;
  return r;
}

}  // namespace pith::recipe
