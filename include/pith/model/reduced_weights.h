// A decoder from which heads, units of the feed-forward parts or whole parts of layers are taken
// out: a smaller model, which runs faster anywhere.
//
//   const auto source = open_weights("model");
//   const ReducedWeights reduced(*source, {.layers = layers});
//   const LanguageModel model = make_model(reduced);
//
// What reads the kept ones may be changed so that it makes up for the rest.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/model/weight_source.h"

namespace pith::model {

struct ReducedLayer {
  // Query heads and units (rows of gate_proj and up_proj) that are kept, ascending; none of them:
  // the part goes with its norm. Unset: all are. Heads of keys and values stay where one of their
  // query heads does; all that stay need the same number of these.
  std::optional<std::vector<uint32_t>> heads = {}, units = {};
  // In place of what o_proj and down_proj have for the kept ones, width x (kept heads * head_size)
  // and width x kept units; empty: their columns as they were.
  form::Matrix output = {}, down = {};
};

struct Reduction {
  std::vector<ReducedLayer> layers;  // of the model, all of them
};

// The heads of keys and values that stay where these query heads do, ascending. Throws
// ErrorKind::kUsage for heads that are not there, not ascending or not shared evenly.
std::vector<uint32_t> kept_kv_heads(const LayerSizes& sizes, const std::vector<uint32_t>& heads);

class ReducedWeights final : public WeightSource {
 public:
  // The source must outlive it; nothing is computed before form(). Throws ErrorKind::kUsage for
  // what is not there to keep, matrices of other sizes, and units of a layer of experts.
  ReducedWeights(const WeightSource& source, Reduction reduction);

  // Of the architecture whose layers may differ, where the source's is Llama.
  const DecoderConfig& config() const override { return config_; }
  std::string where() const override { return source_.where(); }
  std::optional<Tokenizer> tokenizer() const override { return source_.tokenizer(); }
  std::vector<std::string> names() const override;
  // As if nothing was taken out.
  uint64_t bytes() const override { return source_.bytes(); }
  uint64_t decoded_bytes() const override { return bytes(); }
  // What changes is in the type that it has in the source: f16, bf16 or f32, of others f32.
  form::FormPtr form(std::string_view name) const override;

 private:
  struct Part;
  Part part_of(std::string_view name) const;

  const WeightSource& source_;
  Reduction reduction_;
  DecoderConfig config_;
};

}  // namespace pith::model
