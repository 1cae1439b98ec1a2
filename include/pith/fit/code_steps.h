// Codes of vectors, their entries and their scales moved along gradients of a loss, by turns: with
// codes fixed a step of descent of what is continuous, then with that fixed other codes for a few
// of the vectors (PV-Tuning: Malinovskii et al. 2024, arXiv 2405.14852).
//
//   CodeSteps steps(encode(parse("codebook(256, dim=4, group=row)"), weights), {});
//   while (…) steps.take(gradient_at(steps.values()), 1);
//   steps.form();
//
// A code changes the weights by far more than a step of descent may, so that what the gradient says
// of a change holds for few of them at a time: those whose proposed steps are longest. These go
// down the running mean of the gradient; entries, scales and weights in floats take Adam's (Kingma
// and Ba 2015).
#pragma once

#include <cstdint>
#include <memory>

#include "pith/form/form.h"

namespace pith::fit {

enum class CodeMoves : uint8_t {
  kNone,     // codes stay
  kLongest,  // those of the vectors with the longest proposed steps, a share of all
  // All of them, to the nearest of weights in floats that take the steps: the gradient goes
  // "straight through" the rounding.
  kStraightThrough,
};

struct CodeStepOptions {
  CodeMoves moves = CodeMoves::kLongest;
  double share = 0.01;  // of the vectors, whose codes may change in a step
  // Lengths of steps: of entries as a share of their root mean square, of scales as a share of
  // each.
  double entry_rate = 0.01, scale_rate = 0.01;
  // Of weights, as a share of their root mean square: how far off new codes are looked for, or,
  // straight through, Adam's steps.
  double weight_rate = 0.5;
  int threads = 0;  // as thread_count(); results do not depend on it
};

class CodeSteps {
 public:
  // `codebook(…)`, `lattice(…)`. Throws ErrorKind::kUsage for others and for options that cannot
  // be.
  explicit CodeSteps(form::FormPtr start, const CodeStepOptions& options = {});
  CodeSteps(CodeSteps&&) noexcept;
  ~CodeSteps();

  // What the form stands for now.
  form::MatrixView values() const;

  // gradient: of the loss at values(). rate: what lengths of continuous steps are multiplied by.
  // Returns how many codes have changed. Throws ErrorKind::kUsage for another shape, kData where a
  // gradient is not finite.
  uint64_t take(form::MatrixView gradient, double rate);

  form::FormPtr form() const;

  // Bytes that it takes for each weight.
  static constexpr uint64_t kBytes = 16;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pith::fit
