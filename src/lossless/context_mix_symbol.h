// One coded symbol: a binary decision tree whose every decision mixes the counters of several
// contexts, and, where the caller has one, a probability computed from a distribution.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/entropy/mixer.h"

namespace pith::lossless::cm {

inline constexpr uint32_t kMaxInputs = 12;
inline constexpr uint32_t kCounterLimit = 1000;

// The mixed state of a family of binary decisions ("nodes"): for each of `contexts.size()` inputs a
// table of counters [context][node], and one weight set for each [select][node].
class DecisionMixer {
 public:
  // computed: one more input, given to decide() as a probability, and one more counter that
  // corrects it: [class of the node][the probability's bucket].
  void init(uint32_t nodes, const std::vector<uint32_t>& contexts, uint32_t selects, bool computed);

  // Codes `bit` at `node`, context[i] < contexts[i]; p1 in [1, 65535] is the computed
  // probability, ignored when there is none.
  template <class Coder>
  uint32_t decide(Coder& coder, uint32_t bit, uint32_t node, const uint32_t* context,
                  uint32_t select, uint32_t p1 = 32768) {
    entropy::AdaptiveBit* counter[kMaxInputs];
    int32_t input[kMaxInputs + 1];
    uint32_t n = 0;
    for (; n < tables_; ++n) {
      counter[n] = &counters_[start_[n] + size_t(context[n]) * nodes_ + node];
      input[n] = entropy::mixer_input(*counter[n]);
    }
    uint32_t inputs = n;
    if (computed_) {
      const int32_t s = entropy::stretch(p1);
      const uint32_t bucket = uint32_t(std::clamp((s + 1024) >> 5, 0, 63));
      counter[n] = &counters_[start_[n] + size_t(node) * 64 + bucket];
      input[n] = entropy::mixer_input(*counter[n]);
      input[n + 1] = s;
      ++n;
      inputs = n + 1;
    }
    const size_t set = size_t(select) * nodes_ + node;
    int32_t* weights = &weights_[set * inputs];
    const uint32_t p = entropy::squash(entropy::mix(input, weights, inputs));
    bit = coder.code(bit, p);
    entropy::learn(input, weights, inputs, bit, p, entropy::learning_rate(seen_[set]));
    if (seen_[set] < 65535) ++seen_[set];
    for (uint32_t i = 0; i < n; ++i) counter[i]->update(bit, kCounterLimit);
    return bit;
  }

 private:
  uint32_t nodes_ = 0, tables_ = 0;
  bool computed_ = false;
  std::vector<size_t> start_;
  std::vector<entropy::AdaptiveBit> counters_;
  std::vector<int32_t> weights_;
  std::vector<uint16_t> seen_;
};

// An order-keeping binary tree over the symbols 0 .. n-1 that splits every range where the weights
// of both sides are closest: about as many decisions as the symbols' entropy.
struct SymbolTree {
  struct Node {
    uint32_t low, split, high;  // the symbols below here: [low, high); bit 1: symbol >= split
    int32_t child[2];           // a node, or ~symbol
  };
  std::vector<Node> nodes;  // empty when there is one symbol

  // weights: at least one, at most 65536 of them, sum below 2^32.
  void build(const std::vector<uint32_t>& weights);
};

}  // namespace pith::lossless::cm
