#include <algorithm>

#include "pith/weights/calibration_statistics.h"

namespace pith::weights {
namespace {

ByteView bytes_of(const void* data, uint64_t n) { return {static_cast<const uint8_t*>(data), n}; }

class WeightsHasher {
 public:
  void add(const form::FormPtr& weight) {
    if (!weight) return;
    const form::Form& f = *weight;
    // One expert's rows of a form are not written: they count as what they decode to.
    if (f.kind() != "rows") return text_and(form::to_string(f.expression()), form::write(f));
    constexpr uint64_t kSome = 1024;
    const auto [rows, cols] = f.shape();
    std::vector<float> floats(std::min(rows, kSome) * cols);
    for (uint64_t r = 0; r < rows; r += kSome) {
      const uint64_t n = std::min(kSome, rows - r);
      f.decode(r, r + n, floats.data());
      text_and("rows", bytes_of(floats.data(), n * cols * sizeof(float)));
    }
  }
  void add(const std::vector<float>& v) {
    text_and("floats", bytes_of(v.data(), v.size() * sizeof(float)));
  }
  void add(const model::Linear& l) {
    hasher_.update(as_bytes(l.name));
    add(l.weight);
    add(l.bias);
  }
  void add(const model::FeedForward& f) {
    for (const model::Linear* l : {&f.gate, &f.up, &f.down}) add(*l);
  }
  void add(const model::DecoderLayer& l) {
    for (const auto* v : {&l.attention_norm, &l.feed_forward_norm, &l.q_norm, &l.k_norm}) add(*v);
    for (const model::Linear* linear : {&l.q, &l.k, &l.v, &l.output}) add(*linear);
    if (l.feed_forward) add(*l.feed_forward);
    if (!l.experts) return;
    add(l.experts->router);
    for (const model::FeedForward& expert : l.experts->experts) add(expert);
    if (l.experts->shared) add(*l.experts->shared);
    add(l.experts->shared_gate);
  }
  Hash128 digest() const { return hasher_.digest(); }

 private:
  void text_and(std::string_view text, ByteView bytes) {
    const uint64_t sizes[] = {text.size(), bytes.size()};
    hasher_.update(bytes_of(sizes, sizeof sizes));
    hasher_.update(as_bytes(text));
    hasher_.update(bytes);
  }

  Hasher128 hasher_;
};

}  // namespace

Hash128 weights_hash(const model::LanguageModel& model) {
  const model::DecoderWeights& w = model.weights();
  WeightsHasher hasher;
  hasher.add(w.embedding);
  for (const model::DecoderLayer& layer : w.layers) hasher.add(layer);
  hasher.add(w.norm);
  if (w.head.weight != w.embedding) hasher.add(w.head);
  return hasher.digest();
}

Hash128 ids_hash(std::span<const int32_t> windows, uint64_t window) {
  Hasher128 hasher;
  hasher.update(bytes_of(&window, sizeof window));
  hasher.update(bytes_of(windows.data(), windows.size() * sizeof(int32_t)));
  return hasher.digest();
}

}  // namespace pith::weights
