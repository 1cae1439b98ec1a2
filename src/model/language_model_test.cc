#include "pith/model/language_model.h"

#include <gtest/gtest.h>

#include <random>

#include "pith/base/file.h"
#include "pith/model/session.h"
#include "reference_decoder.h"
#include "testing_model.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;

void expect_near(const std::vector<float>& a, const std::vector<float>& b, float most) {
  ASSERT_EQ(a.size(), b.size());
  float worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  EXPECT_LE(worst, most);
}

TEST(LanguageModel, AFolderIsAsItsTensors) {
  const DecoderConfig c = small_config(Architecture::kQwen3);
  const Tensors tensors = random_tensors(c);
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16}) {
    const auto wanted = logits_of(make_model(MemoryWeights(c, tensors, type)));
    for (const size_t shards : {1U, 3U}) {
      const Folder folder;
      write_hf(folder.path(), c, tensors, type, shards);
      const LanguageModel model = load_model(folder.path());
      EXPECT_EQ(logits_of(model), wanted);
      EXPECT_EQ(model.tokenizer(), nullptr);
      EXPECT_EQ(model.tokenizer_error(), "");
      // Any of the files names the model.
      const auto file = shards == 1 ? "model.safetensors" : "model-1.safetensors";
      EXPECT_EQ(logits_of(load_model(folder.path() / file)), wanted);
    }
  }
}

TEST(LanguageModel, EveryArchitectureInBothFormats) {
  for (const auto a : {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3,
                       Architecture::kMixtral, Architecture::kQwen2Moe, Architecture::kQwen3Moe}) {
    const bool experts = a == Architecture::kMixtral || a >= Architecture::kQwen2Moe;
    DecoderConfig c = experts ? small_experts(a) : small_config(a);
    c.tied_embeddings = a == Architecture::kQwen3;
    const Tensors tensors = random_tensors(c);
    const auto wanted = logits_of(make_model(MemoryWeights(c, tensors)));
    const Folder folder;
    write_hf(folder.path(), c, tensors);
    EXPECT_EQ(logits_of(load_model(folder.path())), wanted);
    const auto path = folder.path() / "model.gguf";
    write_gguf(path, gguf_metadata(c), gguf_tensors(c, tensors));
    const LanguageModel model = load_model(path);
    EXPECT_EQ(model.config().architecture, a);
    expect_near(logits_of(model), wanted, 3e-5F);
  }
}

TEST(LanguageModel, RopeFactorsOfGguf) {
  DecoderConfig c = small_config();
  c.rope_scaling.divisors = {1, 1, 1, 1.5, 2, 3, 4, 8, 8, 8};
  const Tensors tensors = random_tensors(c);
  const auto wanted = logits_of(make_model(MemoryWeights(c, tensors)));
  Tensors with = gguf_tensors(c, tensors);
  with["rope_freqs.weight"] = {{10}, {1, 1, 1, 1.5, 2, 3, 4, 8, 8, 8}};
  const Folder folder;
  write_gguf(folder.path() / "model.gguf", gguf_metadata(c), with);
  expect_near(logits_of(load_model(folder.path() / "model.gguf")), wanted, 3e-5F);
}

TEST(LanguageModel, ASetOfGgufFiles) {
  const DecoderConfig c = small_config();
  const Tensors tensors = random_tensors(c), all = gguf_tensors(c, tensors);
  const Folder folder;
  Tensors parts[2];
  size_t k = 0;
  for (const auto& [name, tensor] : all) parts[k++ % 2][name] = tensor;
  io::GgufMetadata metadata = gguf_metadata(c);
  metadata.emplace_back("split.count", uint16_t{2});
  const auto file = [&](int n) { return folder.path() / fmt::format("m-{:05}-of-00002.gguf", n); };
  // The table of the embedding is looked for in all of them.
  write_gguf(file(1), metadata, parts[0]);
  write_gguf(file(2), {{"split.count", uint16_t{2}}}, parts[1]);
  EXPECT_FALSE(logits_of(load_model(file(1))).empty());
  std::filesystem::remove(file(2));
  EXPECT_SAYS([&] { load_model(file(1)); }, "m-00002-of-00002.gguf");
}

TEST(LanguageModel, TheReferenceModelRuns) {
  const auto source = open_weights(source_root() / "data/lm");
  const LanguageModel model = make_model(*source);
  ASSERT_NE(model.tokenizer(), nullptr);
  const std::vector<int32_t> ids = model.tokenizer()->encode("Once upon a time");
  Session session(model, 64);
  const form::MatrixView logits = session.feed(ids);
  ReferenceDecoder reference(*source, 64);
  Doubles wanted;
  for (const int32_t id : ids) wanted = reference.feed(id);
  ASSERT_EQ(logits.shape.cols, wanted.size());
  double worst = 0, scale = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    worst = std::max(worst, std::abs(wanted[i] - logits.data[i]));
    scale = std::max(scale, std::abs(wanted[i]));
  }
  // Kernels may round vectors to bf16; the reference does not.
  EXPECT_LT(worst, 2e-2 * scale);
}

TEST(LanguageModel, WhatIsMissingOrWrongIsNamed) {
  const DecoderConfig c = small_config();
  const Tensors tensors = random_tensors(c);
  Tensors less = tensors;
  less.erase("model.layers.2.mlp.down_proj.weight");
  EXPECT_SAYS([&] { make_model(MemoryWeights(c, less)); },
              "memory: tensor model.layers.2.mlp.down_proj.weight is missing");
  Tensors other = tensors;
  other["model.layers.1.self_attn.k_proj.weight"].shape = {44, 40};
  EXPECT_SAYS([&] { make_model(MemoryWeights(c, other)); },
              "tensor model.layers.1.self_attn.k_proj.weight is 44 x 40 where the config asks for "
              "40 x 44");
  DecoderConfig biased = c;
  biased.qkv_bias = true;
  EXPECT_SAYS([&] { make_model(MemoryWeights(biased, tensors)); }, "q_proj.bias is missing");
}

TEST(LanguageModel, FilesThatDoNotRunSayWhy) {
  const DecoderConfig c = small_config();
  const Tensors tensors = random_tensors(c);
  const Folder folder;
  EXPECT_SAYS([&] { load_model(folder.path() / "none"); }, "no such file");
  EXPECT_SAYS([&] { load_model(folder.path()); }, "there is no config.json");
  const auto config = folder.path() / "config.json";
  write_file(config, as_bytes(R"({"model_type": "gpt2"})"));
  EXPECT_SAYS([&] { load_model(folder.path()); },
              "architecture 'gpt2' is not one of llama, mistral, mixtral, nemotron-nas, qwen2, "
              "qwen3, qwen2_moe, qwen3_moe; lossless compression still works");
  nlohmann::json json = config_json(c);
  write_file(config, as_bytes(json.dump()));
  EXPECT_SAYS([&] { load_model(folder.path()); }, "there is no model.safetensors");
  json["quantization_config"] = {{"quant_method", "gptq"}};
  write_file(config, as_bytes(json.dump()));
  EXPECT_SAYS([&] { load_model(folder.path()); }, "quantized by gptq");
  write_file(folder.path() / "x.bin", as_bytes("no model"));
  EXPECT_SAYS([&] { load_model(folder.path() / "x.bin"); }, "neither a GGUF file");
  io::GgufMetadata metadata = gguf_metadata(c);
  metadata.front().second = std::string("falcon");
  write_gguf(folder.path() / "x.gguf", metadata, gguf_tensors(c, tensors));
  EXPECT_SAYS([&] { load_model(folder.path() / "x.gguf"); },
              "architecture 'falcon' is not one of llama, deci, qwen2, qwen3, qwen2moe, qwen3moe");
}

TEST(LanguageModel, TruncatedFilesAreRefused) {
  const DecoderConfig c = small_experts(Architecture::kMixtral);
  const Tensors tensors = random_tensors(c);
  const Folder folder;
  write_hf(folder.path(), c, tensors);
  write_gguf(folder.path() / "model.gguf", gguf_metadata(c), gguf_tensors(c, tensors));
  for (const char* name : {"model.safetensors", "model.gguf"}) {
    const auto path = folder.path() / name;
    const Bytes whole = read_file(path);
    for (size_t k = 0; k < 40; ++k) {
      // Every length in the header's first bytes, then some everywhere.
      const size_t size = k < 20 ? k : whole.size() * (k - 20) / 20;
      write_file(path, ByteView(whole).first(size));
      EXPECT_THROW(load_model(path), Error) << name << " of " << size;
    }
  }
}

TEST(LanguageModel, DamagedHeadersAreRefusedOrRun) {
  DecoderConfig c = small_experts(Architecture::kQwen3Moe);
  c.layers = 1;
  const Tensors tensors = random_tensors(c);
  const Folder folder;
  const auto path = folder.path() / "model.gguf";
  write_gguf(path, gguf_metadata(c), gguf_tensors(c, tensors));
  const Bytes whole = read_file(path);
  std::mt19937 random(5);
  int refused = 0;
  for (int k = 0; k < 300; ++k) {
    Bytes bytes = whole;
    bytes[random() % 1500] ^= static_cast<uint8_t>(1U << random() % 8);
    write_file(path, bytes);
    try {
      const LanguageModel model = load_model(path);
      Session session(model, 4);
      session.feed(std::vector<int32_t>{1, 2, 3});
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(LanguageModel, MemoryIsForeseen) {
  const DecoderConfig c = small_config();
  const MemoryWeights source(c, random_tensors(c));
  EXPECT_SAYS([&] { make_model(source, {.memory_limit = 1000}); }, "the weights need");
  EXPECT_NO_THROW(make_model(source, {.memory_limit = source.bytes()}));
  EXPECT_NO_THROW(make_model(source, {.memory_limit = 0}));
  EXPECT_GT(available_memory().value_or(0), 0U);
}

}  // namespace
}  // namespace pith::model
