// Gradients of a language model's loss at the outputs of its linear layers, beside the inputs of
// these: what Fisher-weighted and Kronecker-factored metrics are made of (K-FAC, Martens and Grosse
// 2015; WoodFisher, Singh and Alistarh 2020).
//
//   GradientPass pass(model, 512);                          // texts of 512 tokens
//   const double loss = pass.run(ids, {.linear = …});       // one text after the other
//
// The loss is the sum, over all positions, of -log p(target). With targets drawn from the model's
// own distribution (the default) the mean of g gᵀ over positions is the Fisher information, which
// is also the Hessian of the divergence from this model; with the text's next tokens it is what is
// called the empirical Fisher.
//
// A backward pass written by hand for everything that Session runs: norms, both layouts of rotary
// embeddings with their scalings, shared key-value heads, sliding windows, norms of queries and
// keys, biases, tied embeddings and experts (whose choice counts as constant). Weights are not
// changed; any form will do. Where a form's product quantizes its inputs (form.h), the gradient is
// that of the product without this.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "pith/form/matrix.h"
#include "pith/model/language_model.h"

namespace pith::model {

// Both are called in the thread that runs the pass, from the last layer to the first, with rows in
// the order of the positions; what they see is valid during the call. Either may be empty.
struct GradientObserver {
  // inputs: [rows][columns of the weight], gradients: [rows][rows of the weight], at its outputs;
  // the gradient at the weight itself is gradientsᵀ inputs. Names as Hugging Face's files have
  // them. Experts see the rows that chose them; routers are not shown.
  std::function<void(std::string_view tensor, form::MatrixView inputs, form::MatrixView gradients)>
      linear;
  // gradients: [ids][width], at what was looked up.
  std::function<void(std::string_view tensor, std::span<const int32_t> ids,
                     form::MatrixView gradients)>
      embedding;
};

// Some rows of logits and what is asked of them.
struct LossRows {
  uint64_t first = 0;             // number of the first row, counted over all that was run
  std::span<const int32_t> next;  // the text's next token of each row; -1 where the text ends
};
// Turns logits into the gradients at them, and gives the loss.
using Loss = std::function<double(const LossRows& rows, form::Matrix& logits)>;

// The two that are there. Rows get the same targets however they come in batches.
Loss sampled_loss(uint64_t seed = 1, int threads = 1);
Loss next_token_loss(int threads = 1);  // the last row of a text has none

class GradientPass {
 public:
  // For texts of `tokens` positions each. threads: as thread_count(); results do not depend on
  // them. loss: empty for sampled_loss(). Throws ErrorKind::kUsage for no tokens, kLimit where the
  // machine has not the memory (needed_bytes()).
  GradientPass(const LanguageModel& model, uint64_t tokens, int threads = 1, Loss loss = {});
  ~GradientPass();
  GradientPass(GradientPass&&) noexcept;
  GradientPass& operator=(GradientPass&&) noexcept;

  // ids: of whole texts. The loss of all rows, in batches of at most kMostRows (or one text). About
  // three times the work of reading the texts. Throws ErrorKind::kUsage for ids outside the
  // vocabulary and parts of texts, kData where the loss is no number.
  double run(std::span<const int32_t> ids, const GradientObserver& observer);

  static constexpr uint64_t kMostRows = 2048;

  // Bytes that it takes at most beside the weights: the residual streams between all layers for a
  // batch, what lies within one layer, and some rows of logits.
  uint64_t needed_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pith::model
