// A random model with the reference model's tokenizer, so small that all of it is fitted at once:
// for what holds of any model. Test-only.
#pragma once

#include <array>
#include <memory>
#include <numeric>
#include <span>

#include "../model/testing_model.h"
#include "../model/tokenizer_testing.h"
#include "pith/archive/writer.h"
#include "pith/model/language_model.h"
#include "pith/model/session.h"
#include "pith/weights/compress_model.h"

namespace pith::weights::testing {

inline model::DecoderConfig tiny_config() {
  model::DecoderConfig c = model::testing::small_config();
  c.vocabulary = 4096;
  c.layers = 4;
  c.width = 64;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_size = 16;
  c.rope_size = 16;
  c.feed_forward = 96;
  c.tied_embeddings = true;
  return c;
}

struct TinyModel {
  TinyModel() {
    const std::filesystem::path lm = model::testing::source_root() / "data/lm";
    std::filesystem::copy_file(lm / "tokenizer.model", folder.path() / "tokenizer.model");
    const model::DecoderConfig c = tiny_config();
    model::testing::write_hf(folder.path(), c, model::testing::random_tensors(c), DType::kBF16);
    model = std::make_unique<model::LanguageModel>(model::load_model(folder.path()));
    const std::array paths = {folder.path() / "model.safetensors"};
    inputs = archive::expand_inputs(paths);
  }
  model::testing::Folder folder;
  std::unique_ptr<model::LanguageModel> model;
  std::vector<archive::Input> inputs;
};

inline TinyModel& tiny() {
  static TinyModel t;
  return t;
}

// The same with five experts in each layer, of which tokens choose two.
struct TinyMixture {
  TinyMixture() {
    const std::filesystem::path lm = model::testing::source_root() / "data/lm";
    std::filesystem::copy_file(lm / "tokenizer.model", folder.path() / "tokenizer.model");
    model::DecoderConfig c = tiny_config();
    c.architecture = model::Architecture::kMixtral;
    c.experts = 5;
    c.experts_per_token = 2;
    c.expert_feed_forward = c.feed_forward;
    model::testing::write_hf(folder.path(), c, model::testing::random_tensors(c), DType::kBF16);
    model = std::make_unique<model::LanguageModel>(model::load_model(folder.path()));
  }
  std::vector<archive::Input> inputs() const {
    const std::filesystem::path path = folder.path();
    return archive::expand_inputs(std::span(&path, 1));
  }
  model::testing::Folder folder;
  std::unique_ptr<model::LanguageModel> model;
};

inline const TinyMixture& tiny_mixture() {
  static const TinyMixture t;
  return t;
}

// Of the first tokens of the vocabulary.
inline std::vector<float> some_logits(const model::LanguageModel& model) {
  std::vector<int32_t> ids(48);
  std::iota(ids.begin(), ids.end(), 0);
  model::Session session(model, ids.size());
  const form::MatrixView m = session.feed(ids, model::Logits::kAll);
  return {m.data, m.data + m.shape.size()};
}

inline CompressModelOptions tiny_options() {
  CompressModelOptions options;
  options.size = {.tokens = 256, .window = 64};
  options.gradient_tokens = 128;
  options.threads = 2;
  return options;
}

}  // namespace pith::weights::testing
