// Attention of a network factored by heads, two matrices at a time (COMCAT: Xiao et al. 2023, arXiv
// 2305.17235): what the scores of a head are made of is one product W_qᵀ W_k, and what it gives to
// the stream another, W_o W_v. Of each as high a rank is kept as it is worth, below the size of the
// head; all other layers get low ranks of their own.
//
//   options.join = [](const JoiningLayers& j) { return join_heads(j, {.keep = 0.6}); };
//
// With x̃ = (x, 1) the inputs with a one for the bias, W̃ a head's rows with their biases and M =
// E[x̃ x̃ᵀ], the best product of a rank for the scores of all pairs of inputs follows from the
// singular vectors of P^½ Q P^½, P = W̃_q M W̃_qᵀ and Q = W̃_k M W̃_kᵀ; that for what a head gives
// from W_o and the second moments of what W_o reads. Other rows of the same layers then do what
// those before them did: r rows of W_q, W_k and W_v and r columns of W_o are left of a head, their
// biases with them, and the rest is zero.
#pragma once

#include "pith/form/expression.h"
#include "pith/network/compress_network.h"

namespace pith::network {

struct JoinOptions {
  double keep = 0.5;      // of the elements of all layers, where there is no limit on bytes
  bool queries = true;    // queries with keys; else each gets a low rank of its own
  bool values = true;     // values with outputs
  bool searched = true;   // false: the same share of all ranks
  double damping = 0.01;  // of second moments, as a share of their mean
  form::Expression factors = form::parse("dense(f16)");  // of what is kept
};

// Ranks come in eighths: of a head's size, and of the rank up to which factors take less than a
// matrix, which then stays whole. Searched ones have the least sum of losses, each the squared
// error of scores, or of a layer's outputs, times what such an error does to the outputs of the
// network. Heads that are not found (attention.h), or whose biases are no tensors of the file, are
// layers like others. Throws ErrorKind::kUsage without inputs and for options that cannot be,
// kLimit for a limit below the smallest that can be.
TensorForms join_heads(const JoiningLayers& joining, const JoinOptions& options = {});

}  // namespace pith::network
