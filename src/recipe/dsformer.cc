// A published method that puts sums of a few shared patterns in the place of a matrix's rows.
#include <fmt/format.h>

#include "pith/base/error.h"
#include "pith/fit/dictionary.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

void use_dsformer(const Values& values, Plan& plan) {
  const uint64_t rank = number(values, "rank", 1, 1 << 14);
  const uint64_t bits = number(values, "bits", 0, 8);
  if (bits == 1) fail(ErrorKind::kUsage, "bits must be 0, or 2 to 8, not 1");
  const fit::DictionaryOptions options{
      .rounds = static_cast<int>(number(values, "rounds", 1, 1000)),
      .damping = real(values, "damping", 0, 1e3)};
  for (const std::string_view count : list(values, "count")) {
    const uint64_t n = number({{"count", std::string(count)}}, "count", 1, rank);
    // Codes lie in lines of all rows: those of one row would fill up runs of 32.
    const std::string text =
        bits == 0 ? fmt::format("sparse({}:{}) * rank({}) * dense(f16)", n, rank, rank)
                  : fmt::format(
                        "sparse({}, pattern=bitmap, values=uniform({}, group=64)) * "
                        "rank({}) * uniform({}, group=row)",
                        static_cast<double>(n) / static_cast<double>(rank), bits, rank, bits);
    const auto e = form::parse(text);
    plan.candidates.push_back({fmt::format("dsformer {} of {}", n, rank),
                               fit::dictionary_fitter(e, options),
                               0,
                               {},
                               true});
  }
  leave_vocabulary(plan);
}

}  // namespace

Recipe dsformer() {
  Recipe r;
  r.name = "dsformer";
  r.id = "S307";
  r.title =
      "DSFormer: Effective Compression of Text-Transformers by Dense-Sparse Weight Factorization";
  r.area = "weights";
  r.summary =
      "Each output's weights are the sum of a few of the patterns that all outputs of a matrix "
      "share: a small dense matrix of patterns, and a sparse one that says which each output takes "
      "and how much of it.";
  r.compose = "sparse(24:96) * rank(96) * dense(f16)";
  r.differs =
      "fitted after training, matrix by matrix, by turns of matching pursuit and least squares "
      "under the inputs' second moments; the paper's straight-through training of all "
      "factorizations on a task is not built. The matrix stands as outputs x inputs, so that its "
      "sparse factor is the left one.";
  r.waits = "training on a task";
  r.verified =
      "recipe and fit tests on generated matrices: less error than a low rank of more bytes and "
      "than n:m, in 8 bits as well. Matrices of the reference model, squared error over squares: "
      "mlp.up_proj at 4.0 bits 0.244, truncated singular vectors 0.335, 1:4 at 4.8 bits 0.382; "
      "q_proj at 8.0 bits 0.098 and 0.136, 2:4 at 9.0 bits 0.132; in 8 bits up_proj has 0.114 at "
      "3.7 bits, singular vectors 0.135 at 4.1 bits. Divergence with the attention of two layers "
      "in 48 of 96 patterns 0.00004, plain singular vectors in more bytes 0.00015; with 16 of 96 "
      "they are equal at as many bytes. Where inputs have few strong directions, fewer patterns "
      "than these lose more outputs than a low rank. Training on a task was not tried.";
  r.example = "pith compress lm --recipe dsformer -O rank=128 -O count=16";
  r.parts = {"fit/dictionary.h", "form/sparse_fit.h"};
  r.options = {{"rank", "96", "patterns of a matrix"},
               {"count", "24", "patterns of an output; several as 8+16+32 share out a limit"},
               {"bits", "0", "of both factors' numbers, 2 to 8; 0: 16"},
               {"rounds", "16", "turns, at most"},
               {"damping", "0.1", "added to the inputs' second moments, as a share of their mean"}};
  r.place = {.acts = {Act::kFactored, Act::kPruned},
             .patterns = {Pattern::kGroups},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kIterative,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"rank", {"64", "96", "128"}}, {"count", {"8", "16", "32"}}, {"bits", {"0", "8"}}};
  r.apply = use_dsformer;
  return r;
}

}  // namespace pith::recipe
