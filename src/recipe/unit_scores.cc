#include "unit_scores.h"

#include "pith/form/form.h"

namespace pith::recipe {
namespace {

// Of the text, for gradients.
constexpr uint64_t kTokens = 4096;

std::vector<double> squares_of(const model::Linear& reader, uint64_t units) {
  const form::Matrix m = form::decode(*reader.weight);
  std::vector<double> scores(units);
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (uint64_t c = 0; c < m.shape.cols; ++c) {
      scores[c * units / m.shape.cols] += double{m.view().row(r)[c]} * m.view().row(r)[c];
    }
  }
  return scores;
}

}  // namespace

UnitScores first_order(const weights::Reducing& reducing) {
  const weights::CalibrationText some = weights::some_windows(reducing.text, kTokens);
  const weights::Reducing few{.source = reducing.source,
                              .model = reducing.model,
                              .text = some,
                              .threads = reducing.threads};
  const auto found = weights::first_order_scores(few);
  const auto of = [&](const model::Linear& reader) {
    const auto at = found.find(reader.name);
    return at == found.end() ? std::vector<double>() : at->second;
  };
  UnitScores scores;
  for (const model::DecoderLayer& layer : reducing.model.weights().layers) {
    LayerScores& l = scores.emplace_back();
    if (layer.has_attention()) l.groups = of(layer.output);
    if (layer.feed_forward) l.neurons = of(layer.feed_forward->down);
  }
  return scores;
}

UnitScores squares(const weights::Reducing& reducing) {
  const model::DecoderConfig& c = reducing.model.config();
  UnitScores scores;
  for (uint32_t l = 0; l < c.layers; ++l) {
    const model::DecoderLayer& layer = reducing.model.weights().layers[l];
    LayerScores& s = scores.emplace_back();
    if (layer.has_attention()) s.groups = squares_of(layer.output, c.sizes(l).kv_heads);
    if (layer.feed_forward) {
      s.neurons = squares_of(layer.feed_forward->down, c.sizes(l).feed_forward);
    }
  }
  return scores;
}

}  // namespace pith::recipe
