// A random model with the reference model's tokenizer, so small that all of it is fitted at once:
// for what holds of any model. Test-only.
#pragma once

#include <array>

#include "../model/testing_model.h"
#include "../model/tokenizer_testing.h"
#include "pith/archive/writer.h"
#include "pith/model/language_model.h"
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

inline CompressModelOptions tiny_options() {
  CompressModelOptions options;
  options.size = {.tokens = 256, .window = 64};
  options.gradient_tokens = 128;
  options.threads = 2;
  return options;
}

}  // namespace pith::weights::testing
