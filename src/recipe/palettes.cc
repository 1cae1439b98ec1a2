// Published methods that give weights, or runs of them, few values to share.
#include "pith/fit/palettes.h"

#include <fmt/format.h>

#include "pith/base/error.h"
#include "pith/fit/lifted_codebook.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

void use_lr2vq(const Values& values, Plan& plan) {
  const fit::LiftOptions options{.rounds = static_cast<int>(number(values, "rounds", 1, 1000))};
  const uint64_t length = number(values, "length", 2, 256);
  const std::string& dim = values.find("dim")->second;
  const uint64_t own = dim == "auto" ? 0 : number(values, "dim", 1, length);
  for (const std::string_view entries : list(values, "entries")) {
    const uint64_t k = number({{"entries", std::string(entries)}}, "entries", 2, 65536);
    const fit::LiftedShape shape{length, own == 0 ? length : own, k};
    plan.candidates.push_back({fmt::format("lr2vq {}", k),
                               own == 0 ? fit::best_lifted_codebook_fitter(shape, options)
                                        : fit::lifted_codebook_fitter(shape, options),
                               0,
                               {},
                               true,
                               rows_of(length, "runs")});
  }
  leave_vocabulary(plan);
}

void use_edkm(const Values& values, Plan& plan) {
  const fit::SoftPaletteOptions options{
      .steps = static_cast<int>(number(values, "steps", 0, 100000)),
      .rate = real(values, "rate", 1e-6, 10),
      .temperature = real(values, "temperature", 1e-6, 1e3),
      .damping = real(values, "damping", 0, 1e3)};
  for (const std::string_view bits : list(values, "bits")) {
    fit::SoftPaletteOptions own = options;
    own.entries = uint64_t{1} << number({{"bits", std::string(bits)}}, "bits", 1, 8);
    plan.candidates.push_back({fmt::format("edkm {}", bits), fit::soft_palette_fitter(own)});
  }
  leave_vocabulary(plan);
}

void use_dynamical_clustering(const Values& values, Plan& plan) {
  for (const std::string_view distance : list(values, "distance")) {
    const double d = real({{"distance", std::string(distance)}}, "distance", 1e-3, 10);
    plan.candidates.push_back(
        {fmt::format("dynamical-clustering {}", distance), fit::threshold_palette_fitter(d)});
  }
  plan.calibrated = plan.candidates.size() > 1;
  leave_vocabulary(plan);
}

}  // namespace

Recipe lr2vq() {
  Recipe r;
  r.name = "lr2vq";
  r.id = "S150";
  r.title = "Learning Low-Rank Representations for Model Compression";
  r.area = "weights";
  r.summary =
      "Runs of neighbours are codewords of fewer coordinates than they have elements, times one "
      "small matrix for all runs; how many coordinates is decided beforehand from what cutting off "
      "directions and what clustering the others is expected to lose.";
  r.compose = "codebook(400, dim=6) * rank(96) * repeated(16)";
  r.differs =
      "codes, codewords and lift are fitted to the weights by turns of nearest codes and least "
      "squares, errors weighed by the mean squares of inputs; training on a task's loss is not "
      "built. Dimensions are compared at equal bytes, codewords and lift counted: by error alone "
      "and with as many codewords, none can be better than all of them.";
  r.waits = "training on a task";
  r.verified =
      "recipe and fit tests on runs that are mixes of few: at equal bytes the error is least at "
      "a dim in between, within a factor of two of the expected one, and below the plain "
      "codebook's. "
      "mlp.up_proj of the reference model, error over squares of 256 plain codewords' bytes: runs "
      "of "
      "32 (17 times smaller) 0.672 at dim 16, 0.692 at 12, 0.677 at 32, where dim 20 was expected "
      "to leave 0.663; runs of 16 0.530 at dim 16 and 0.558 at 12, runs of 8 0.308 at dim 8 and "
      "0.391 at 6, as expected. So dims in between win for long runs only: neighbours in these "
      "matrices are nearly independent, and that the best dim is always smaller than the run is "
      "contradicted for them. Nor on a residual CNN of 31,870 weights (runs of 4, archives, images "
      "whose class stays): plain codewords of 4 in 19,584 bytes 58.5%, of 3 coordinates in 22,720 "
      "bytes 56.0%, of 2 in 21,568 bytes 36.4%, without training.";
  r.example = "pith compress lm --recipe lr2vq -O length=8 -O entries=256";
  r.parts = {"fit/lifted_codebook.h", "math/kmeans.h"};
  r.options = {{"length", "16", "neighbours in a row that are coded together"},
               {"entries", "256",
                "codewords; with dim=auto of a plain codebook of as many bytes; several share out "
                "a limit"},
               {"dim", "auto", "coordinates of a codeword; auto: what is expected to lose least"},
               {"rounds", "16", "turns, at most"}};
  r.place = {.acts = {Act::kQuantized, Act::kFactored},
             .patterns = {},
             .criterion = Criterion::kActivation,
             .moment = Moment::kIterative,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"length", {"4", "8", "16"}}, {"entries", {"64", "256", "1024"}}};
  r.apply = use_lr2vq;
  return r;
}

Recipe edkm() {
  Recipe r;
  r.name = "edkm";
  r.id = "S306";
  r.title =
      "eDKM: An Efficient and Accurate Train-time Weight Clustering for Large Language Models";
  r.area = "weights";
  r.summary =
      "Each weight is shared out among a palette's entries by the softmax of squared distances; "
      "gradients through these shares move weights to where entries suit them. Equal weights have "
      "equal shares, so that these are kept for each different 16-bit value only.";
  r.compose = "codebook(8)";
  r.differs =
      "trained matrix by matrix, on what is lost of its outputs, by the inputs' second moments, in "
      "place of fine-tuning the whole model on a task; entries become the least squares of it in "
      "the end. Shares of several workers are counted, but not sent.";
  r.waits = "fine-tuning on a task";
  r.verified =
      "fit tests: gradients are those of finite differences, and of shares for every weight by "
      "itself, at under a tenth of the bytes; matrices of the reference model have 2500 to 3000 "
      "different values, and keep 20 (65536 weights) and 39 times (196608) fewer bytes, with eight "
      "workers 25 and 61 times. Recipe tests on a generated matrix: below k-means and rounding "
      "with "
      "one scale, by other inputs. Divergence with the attention of two layers of the reference "
      "model in 3 bits: 0.0064 k-means, 0.0034 after least squares, 0.0033 after training; "
      "rounding "
      "with a scale and a zero point for each row 0.0022 in 0.06% more bytes, so that less loss "
      "than rounding is contradicted where each row has its own scale.";
  r.example = "pith compress lm --recipe edkm -O bits=3 -O steps=20";
  r.parts = {"fit/soft_clusters.h", "fit/palettes.h"};
  r.options = {{"bits", "3", "of a weight, 1 to 8; several share out a limit"},
               {"steps", "80", "of training; 0: k-means and least squares"},
               {"rate", "0.1", "of steps, in distances between entries"},
               {"temperature", "0.1", "of the softmax, in squares of these"},
               {"damping", "0.1", "added to the inputs' second moments, as a share of their mean"}};
  r.place = {.acts = {Act::kQuantized},
             .patterns = {},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kIterative,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"bits", {"2", "3", "4"}}};
  r.apply = use_edkm;
  return r;
}

Recipe dynamical_clustering() {
  Recipe r;
  r.name = "dynamical-clustering";
  r.id = "S187";
  r.title = "Deep Neural Network Compression for Image Classification and Object Detection";
  r.area = "weights";
  r.summary =
      "Weights that are near to each other become one, and how many there are is found for each "
      "matrix: clusters with members beyond a distance are split, neighbours within it merged, "
      "until nothing changes. What is stored is a palette and a code for each weight.";
  r.compose = "codebook(k)";
  r.differs =
      "after training, without the retraining in between and after; clusters are of weights, and "
      "no "
      "filters or nodes are dropped. The paper leaves the rule open; the distance is in roots of a "
      "matrix's mean square, and is the only thing that is chosen.";
  r.waits = "retraining between rounds";
  r.verified =
      "math tests: as many clusters are found as there are, no member is farther than the "
      "distance; "
      "recipe tests: matrices with heavier tails get more. Divergence with the attention of two "
      "layers of the reference model: 0.00017 at distance 0.3, the largest weights at nearly as "
      "many "
      "bytes 0.030; k-means with 32 entries for all 0.00018 in 0.2% fewer bytes, with 16 0.0008. "
      "Above pruning by size holds; above k-means of a fixed number at equal bytes does not: on "
      "that line it would have about 0.00011. Nothing is retrained. On a "
      "residual CNN of 31,870 weights (archives, images whose class stays), above pruning, "
      "contradicted beside as many values for each layer: in 27,968 bytes 67.6%, 16 values fitted "
      "to the inputs 98.1%, and 30% of the elements kept in 36,160 bytes 33.0%.";
  r.example = "pith compress lm --recipe dynamical-clustering -O distance=0.3";
  r.parts = {"math/threshold_clusters.h", "fit/palettes.h"};
  r.options = {
      {"distance", "0.3",
       "of a weight from its cluster's mean, in roots of the weights' mean square; several "
       "share out a limit"}};
  r.place = {.acts = {Act::kQuantized},
             .patterns = {},
             .criterion = Criterion::kMagnitude,
             .moment = Moment::kOneShot,
             .data = Data::kNone,
             .adapts = Adapts::kNothing};
  r.sizes = {{"distance", {"0.05", "0.1", "0.2", "0.3", "0.5", "0.7", "1"}}};
  r.apply = use_dynamical_clustering;
  return r;
}

}  // namespace pith::recipe
