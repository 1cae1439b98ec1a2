#include "pith/model/model_hash.h"

#include "pith/base/parallel.h"
#include "rope.h"

namespace pith::model {
namespace {

class Parts {
 public:
  template <class T>
  void numbers(const std::vector<T>& values) {
    number(static_cast<double>(values.size()));
    hash_.update({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)});
  }
  // Every number of a config is one of these exactly.
  void number(double value) {
    hash_.update({reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  void form(const form::FormPtr& form) {
    number(form ? 1 : 0);
    if (form) forms_.push_back(form.get());
  }
  void linear(const Linear& linear) {
    form(linear.weight);
    numbers(linear.bias);
  }
  void feed_forward(const FeedForward& f) {
    linear(f.gate);
    linear(f.up);
    linear(f.down);
  }

  Hash128 digest(int threads) {
    std::vector<Hash128> each(forms_.size());
    parallel_for(threads, forms_.size(),
                 [&](size_t i) { each[i] = hash128(form::write(*forms_[i])); });
    for (const Hash128& h : each) hash_.update(h.bytes);
    return hash_.digest();
  }

 private:
  Hasher128 hash_;
  std::vector<const form::Form*> forms_;
};

void add(const DecoderConfig& c, uint64_t capacity, Parts& to) {
  for (const double n : {static_cast<double>(c.architecture), static_cast<double>(c.layers),
                         static_cast<double>(c.width), static_cast<double>(c.head_size),
                         static_cast<double>(c.norm_eps), static_cast<double>(c.rope_layout),
                         static_cast<double>(c.rope_size), static_cast<double>(c.experts),
                         static_cast<double>(c.experts_per_token),
                         static_cast<double>(c.normalize_experts), c.expert_scale}) {
    to.number(n);
  }
  for (uint32_t l = 0; l < c.layers; ++l) {
    const LayerSizes sizes = c.sizes(l);
    for (const uint32_t n : {sizes.heads, sizes.kv_heads, sizes.feed_forward, c.window(l)})
      to.number(n);
    to.number(c.thresholds(l).ratio);
    to.number(c.thresholds(l).importance);
  }
  const Rope rope(c, capacity);
  to.numbers(rope.frequencies());
  to.number(rope.magnitude());
}

void add(const DecoderLayer& layer, Parts& to) {
  to.numbers(layer.attention_norm);
  to.numbers(layer.feed_forward_norm);
  to.numbers(layer.q_norm);
  to.numbers(layer.k_norm);
  for (const Linear* l : {&layer.q, &layer.k, &layer.v, &layer.output}) to.linear(*l);
  if (layer.feed_forward) to.feed_forward(*layer.feed_forward);
  if (!layer.experts) return;
  to.form(layer.experts->router);
  for (const FeedForward& expert : layer.experts->experts) to.feed_forward(expert);
  if (layer.experts->shared) to.feed_forward(*layer.experts->shared);
  to.form(layer.experts->shared_gate);
}

}  // namespace

Hash128 model_hash(const LanguageModel& model, uint64_t capacity, int threads) {
  Parts parts;
  add(model.config(), capacity, parts);
  parts.form(model.weights().embedding);
  for (const DecoderLayer& layer : model.weights().layers) add(layer, parts);
  return parts.digest(threads);
}

}  // namespace pith::model
