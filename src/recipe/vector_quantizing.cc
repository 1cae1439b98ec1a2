// Published methods whose codes stand for several neighbours of a row.
#include <fmt/format.h>

#include <bit>

#include "pith/base/error.h"
#include "pith/fit/quantizers.h"
#include "recipes.h"
#include "values.h"

namespace pith::recipe {
namespace {

using fit::Fitter;

bool yes(const Values& values, std::string_view key) {
  const std::string& text = values.find(key)->second;
  if (text != "yes" && text != "no") {
    fail(ErrorKind::kUsage, "{} must be yes or no, not '{}'", key, text);
  }
  return text == "yes";
}

void use_pvq(const Values& values, Plan& plan) {
  const uint64_t hundredths = number(values, "hundredths", 50, 800);
  const uint64_t dim = number(values, "dim", 2, 64);
  const auto e =
      form::parse(fmt::format("lattice(pyramid, dim={}, bits={}, gain={})", dim,
                              static_cast<double>(hundredths) / 100, number(values, "gain", 0, 8)));
  const bool moments = yes(values, "hessian");
  Fitter inner = moments ? fit::feedback_fitter(e, {.damping = 0.03}) : fit::nearest_fitter(e);
  plan.candidates.push_back({"pvq", fit::in_basis(form::parse("hadamard"), std::move(inner))});
  plan.calibrated = moments;
}

void use_qtip(const Values& values, Plan& plan) {
  const uint64_t bits = number(values, "bits", 1, 6);
  const uint64_t states = number(values, "states", uint64_t{16} << bits, 1 << 16);
  if (!std::has_single_bit(states)) {
    fail(ErrorKind::kUsage, "states must be a power of two, not {}", states);
  }
  const bool moments = yes(values, "hessian");
  const auto with_states = [&](uint64_t n) {
    const auto e = form::parse(fmt::format("trellis({}, states={})", bits, n));
    return fit::in_basis(
        form::parse("hadamard(seed=1)"),
        moments ? fit::feedback_fitter(e, {.damping = 0.03}) : fit::nearest_fitter(e));
  };
  // How large it becomes shows with the fewest windows, too.
  plan.candidates.push_back({"qtip", with_states(states), 0, with_states(uint64_t{16} << bits)});
  plan.calibrated = moments;
}

void use_nowag(const Values& values, Plan& plan) {
  const std::string shape =
      fmt::format("{}, dim={}", number(values, "entries", 2, 65536), number(values, "dim", 1, 64));
  const bool normalized = yes(values, "normalized");
  const form::Expression scaled = form::parse(fmt::format("codebook({}, group=row)", shape)),
                         plain = form::parse(fmt::format("codebook({})", shape));
  plan.candidates.push_back(
      {"nowag-vq", yes(values, "norms")
                       ? fit::column_normalized(fit::feedback_fitter(scaled), normalized)
                       : fit::importance_fitter(plain)});
}

}  // namespace

Recipe pvq() {
  Recipe r;
  r.name = "pvq";
  r.id = "S242";
  r.title = "Pyramid Vector Quantization for LLMs";
  r.area = "weights";
  r.summary =
      "A Hadamard transform leaves numbers of a Gaussian, of which each group is a gain and a "
      "direction: integers whose magnitudes add up to k, coded by their number among all such, so "
      "that there is no codebook. Groups are chosen one after the other, and what each leaves is "
      "made up for by those after it.";
  r.compose = "hadamard | lattice(pyramid, dim=16, bits=3.25, gain=4)";
  r.differs =
      "gains are fitted to each matrix instead of to the distribution that groups of Gaussians "
      "have; pulses are given out by the group's own second moments, and moved while that helps, "
      "then chosen again beside all other groups; activations stay as they are.";
  r.verified =
      "recipe tests on rotated weights beside GPTQ with as many bits; form tests of the numbering; "
      "fit tests of feedback.";
  r.example = "pith compress lm --recipe pvq -O hundredths=325";
  r.parts = {"fit/feedback.h", "form/vector_fit.h", "fit/quantizers.h"};
  r.options = {{"hundredths", "325", "of a bit that an element has at most, gain and all"},
               {"dim", "16", "neighbours in a row that are coded together"},
               {"gain", "4", "bits of a gain"},
               {"hessian", "yes", "no: each group by itself, without a text"}};
  r.place = {.acts = {Act::kQuantized, Act::kTransformed},
             .patterns = {},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"hundredths",
              {"150", "175", "200", "225", "250", "275", "300", "325", "350", "400", "450", "500",
               "550", "600", "700"}}};
  r.apply = use_pvq;
  return r;
}

Recipe qtip() {
  Recipe r;
  r.name = "qtip";
  r.id = "QTIP";  // has no number: a baseline
  r.title = "QTIP: Quantization with Trellises and Incoherence Processing";
  r.area = "weights";
  r.summary =
      "A Hadamard transform leaves numbers of a Gaussian; each is computed from a window of the "
      "bits around it, and the bits of a row are the best path through all windows (Viterbi), with "
      "what each element leaves made up for by those after it.";
  r.compose = "hadamard(seed=1) | trellis(2, states=4096)";
  r.differs =
      "rows are paths of their own instead of blocks of 16 x 16 whose ends meet; every path that "
      "is still in the running feeds back its own errors, element by element, where the paper "
      "feeds back those of blocks that are done; the transform is on the inputs' side only; scales "
      "are fitted row by row; nothing is trained afterwards. The code is the paper's 1MAD.";
  r.waits = "fine-tuning";
  r.verified =
      "recipe tests on rotated weights beside E8 and GPTQ with as many bits; fit tests of feedback "
      "along paths; form tests of the search beside all paths.";
  r.example = "pith compress lm --recipe qtip -O bits=3";
  r.parts = {"fit/feedback.h", "form/trellis_fit.h", "form/path_search.h", "fit/quantizers.h"};
  r.options = {{"bits", "2", "of an element, 1 to 6"},
               {"states", "4096", "windows there are: twice as many take twice the time; to 65536"},
               {"hessian", "yes", "no: paths of least squares, without a text"}};
  r.place = {.acts = {Act::kQuantized, Act::kTransformed},
             .patterns = {},
             .criterion = Criterion::kSecondOrder,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"bits", {"1", "2", "3", "4", "5", "6"}}};
  r.apply = use_qtip;
  return r;
}

Recipe nowag_vq() {
  Recipe r;
  r.name = "nowag-vq";
  r.id = "S256";
  r.title = "NoWag: A Unified Framework for Shape Preserving Compression of Large Language Models";
  r.area = "weights";
  r.summary =
      "Columns, then rows are divided by their norms, which are stored; what is left gets one "
      "codebook for the matrix by k-means, with each element's error weighed by the mean square of "
      "its input.";
  r.compose = "scale | codebook(256, dim=4, group=row)";
  r.differs =
      "the norms of rows become the scales of least error once the codes are there; seeds come "
      "from "
      "k-means without weights.";
  r.verified =
      "recipe tests on weights whose rows and columns differ, beside k-means with the same weights "
      "and as many bytes without norms; on the reference model norms cost more than they bring "
      "(docs/fitters-quantizing.md); fit tests of the k-means.";
  r.example = "pith compress lm --recipe nowag-vq";
  r.parts = {"fit/quantizers.h", "fit/feedback.h", "form/vector_fit.h"};
  r.options = {{"entries", "256", "of the codebook, 2 to 65536"},
               {"dim", "4", "neighbours in a row that a code stands for"},
               {"norms", "yes", "no: the same k-means of the matrix as it is"},
               {"normalized", "yes", "no: errors count as they are in the outputs"}};
  r.place = {.acts = {Act::kQuantized, Act::kTransformed},
             .patterns = {},
             .criterion = Criterion::kActivation,
             .moment = Moment::kOneShot,
             .data = Data::kText,
             .adapts = Adapts::kNothing};
  r.sizes = {{"entries", {"16", "64", "256", "1024"}}, {"dim", {"2", "4"}}};
  r.apply = use_nowag;
  return r;
}

}  // namespace pith::recipe
