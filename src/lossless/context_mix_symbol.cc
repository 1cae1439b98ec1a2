#include "context_mix_symbol.h"

namespace pith::lossless::cm {

void DecisionMixer::init(uint32_t nodes, const std::vector<uint32_t>& contexts, uint32_t selects,
                         bool computed) {
  nodes_ = nodes;
  tables_ = uint32_t(contexts.size());
  computed_ = computed;
  start_.clear();
  size_t total = 0;
  for (uint32_t n : contexts) {
    start_.push_back(total);
    total += size_t(n) * nodes;
  }
  start_.push_back(total);
  if (computed) total += size_t(nodes) * 64;
  counters_.assign(total, {});
  const uint32_t inputs = tables_ + (computed ? 2 : 0);
  const int32_t share = int32_t((computed ? 40000u : 78000u) / std::max(1u, tables_));
  weights_.assign(size_t(selects) * nodes * inputs, share);
  if (computed) {
    for (size_t i = inputs - 1; i < weights_.size(); i += inputs) weights_[i] = 32768;
  }
  seen_.assign(size_t(selects) * nodes, 0);
}

void SymbolTree::build(const std::vector<uint32_t>& weights) {
  nodes.clear();
  if (weights.size() < 2) return;
  std::vector<uint64_t> before(weights.size() + 1, 0);
  for (size_t i = 0; i < weights.size(); ++i) before[i + 1] = before[i] + weights[i];
  // Ranges still to split, with the node that awaits each; depth-first, low side first.
  struct Work {
    uint32_t low, high;
    int32_t parent;
    int side;
  };
  std::vector<Work> work = {{0, uint32_t(weights.size()), -1, 0}};
  while (!work.empty()) {
    const Work w = work.back();
    work.pop_back();
    const int32_t id = w.high - w.low == 1 ? ~int32_t(w.low) : int32_t(nodes.size());
    if (w.parent >= 0) nodes[size_t(w.parent)].child[w.side] = id;
    if (id < 0) continue;
    const uint64_t middle = (before[w.low] + before[w.high]) / 2;
    uint32_t split =
        uint32_t(std::lower_bound(before.begin() + w.low + 1, before.begin() + w.high - 1, middle) -
                 before.begin());
    if (split > w.low + 1 && middle - before[split - 1] <= before[split] - middle) --split;
    nodes.push_back({w.low, split, w.high, {0, 0}});
    work.push_back({split, w.high, id, 1});
    work.push_back({w.low, split, id, 0});
  }
}

}  // namespace pith::lossless::cm
