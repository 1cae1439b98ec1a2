#include "pith/model/export_gguf.h"

#include <gtest/gtest.h>

#include "pith/base/file.h"
#include "pith/form/ggml_tensor.h"
#include "pith/io/gguf_write.h"
#include "pith/io/layout.h"
#include "pith/model/language_model.h"
#include "pith/model/session.h"
#include "pith/model/tensor_names.h"
#include "testing_model.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

namespace fs = std::filesystem;
using testing::Folder;
using testing::Ids;
using testing::logits_of;
using testing::MemoryWeights;
using testing::Tensors;

// The largest difference, relative to the largest logit.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0, scale = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(double{a[i]} - b[i]));
    scale = std::max(scale, std::abs(double{a[i]}));
  }
  return worst / scale;
}

// Rows of whole blocks.
DecoderConfig block_config() {
  DecoderConfig c = testing::small_config();
  c.width = 256;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_size = c.rope_size = 64;
  c.feed_forward = 288;  // not a whole number of the blocks of 256
  c.layers = 2;
  return c;
}

// A source whose matrices are forms of an expression.
class FormWeights final : public WeightSource {
 public:
  FormWeights(const WeightSource& dense, std::string_view expression) : dense_(dense) {
    for (const std::string& name : dense.names()) {
      const form::FormPtr f = dense.form(name);
      const bool matrix = f->shape().rows > 1;
      forms_[name] = matrix ? encode(form::parse(expression), form::decode(*f).view()) : f;
    }
  }
  const DecoderConfig& config() const override { return dense_.config(); }
  std::string where() const override { return "forms"; }
  std::optional<Tokenizer> tokenizer() const override { return dense_.tokenizer(); }
  std::vector<std::string> names() const override { return dense_.names(); }
  uint64_t bytes() const override { return dense_.bytes(); }
  form::FormPtr form(std::string_view name) const override {
    const auto found = forms_.find(std::string(name));
    return found == forms_.end() ? nullptr : found->second;
  }

 private:
  const WeightSource& dense_;
  std::map<std::string, form::FormPtr> forms_;
};

TEST(ExportGguf, EveryArchitectureComputesTheSame) {
  for (const auto a : {Architecture::kLlama, Architecture::kQwen2, Architecture::kQwen3,
                       Architecture::kMixtral, Architecture::kQwen2Moe, Architecture::kQwen3Moe}) {
    const bool experts = a == Architecture::kMixtral || a >= Architecture::kQwen2Moe;
    DecoderConfig c = experts ? testing::small_experts(a) : testing::small_config(a);
    c.tied_embeddings = a == Architecture::kQwen3;
    const MemoryWeights source(c, testing::random_tensors(c));
    const Folder folder;
    const ExportReport report = export_gguf(source, folder.path() / "m.gguf");
    EXPECT_EQ(report.bytes, fs::file_size(folder.path() / "m.gguf"));
    EXPECT_EQ(report.notes, std::vector<std::string>{"there is no tokenizer"});
    EXPECT_LT(
        difference(logits_of(make_model(source)), logits_of(load_model(folder.path() / "m.gguf"))),
        1e-5)
        << hf_name(a);
  }
}

TEST(ExportGguf, BiasesOfPairedRowsGoWithThem) {
  DecoderConfig c = testing::small_config();
  c.qkv_bias = c.output_bias = true;
  const MemoryWeights source(c, testing::random_tensors(c));
  const Folder folder;
  export_gguf(source, folder.path() / "m.gguf");
  EXPECT_LT(
      difference(logits_of(make_model(source)), logits_of(load_model(folder.path() / "m.gguf"))),
      1e-5);
}

TEST(ExportGguf, ScalingsOfPositionsAreKept) {
  using Kind = RopeScaling::Kind;
  for (const Kind kind : {Kind::kLinear, Kind::kLlama3, Kind::kYarn}) {
    DecoderConfig c = testing::small_config();
    c.rope_scaling.kind = kind;
    c.rope_scaling.factor = 4;
    c.rope_scaling.original_context = 24;
    if (kind == Kind::kYarn) c.rope_scaling.attention_factor = 1.25;
    const MemoryWeights source(c, testing::random_tensors(c));
    const Folder folder;
    export_gguf(source, folder.path() / "m.gguf");
    EXPECT_LT(
        difference(logits_of(make_model(source)), logits_of(load_model(folder.path() / "m.gguf"))),
        1e-4)
        << static_cast<int>(kind);
  }
  DecoderConfig c = testing::small_config();
  c.rope_scaling.kind = Kind::kDynamic;
  EXPECT_SAYS([&] { gguf_metadata(c); }, "cannot hold dynamic RoPE scaling");
}

TEST(ExportGguf, MetadataSayTheConfig) {
  for (const auto a : {Architecture::kMistral, Architecture::kMixtral, Architecture::kQwen3Moe}) {
    const bool experts = a != Architecture::kMistral;
    DecoderConfig c = experts ? testing::small_experts(a) : testing::small_config(a);
    if (a == Architecture::kMistral) c.windows.assign(c.layers, 17);
    c.name = "a name";
    const DecoderConfig back = config_from_gguf(gguf_metadata(c));
    EXPECT_EQ(gguf_name(back.architecture), gguf_name(a));
    EXPECT_EQ(back.name, c.name);
    EXPECT_EQ(back.layers, c.layers);
    EXPECT_EQ(back.head_size, c.head_size);
    EXPECT_EQ(back.windows, c.windows);
    EXPECT_EQ(back.experts_per_token, c.experts_per_token);
    EXPECT_EQ(back.expert_feed_forward, c.expert_feed_forward);
    EXPECT_EQ(back.context, c.context);
    EXPECT_EQ(back.norm_eps, c.norm_eps);
  }
}

TEST(ExportGguf, TypesAreEncodedAndReadBack) {
  const DecoderConfig c = block_config();
  const MemoryWeights source(c, testing::random_tensors(c));
  for (const DType type : {DType::kQ8_0, DType::kQ4_K, DType::kQ2_K, DType::kBF16, DType::kMXFP4}) {
    const Folder folder;
    const ExportReport report =
        export_gguf(source, folder.path() / "m.gguf", {.type = type, .threads = 2});
    const auto back = open_weights(folder.path() / "m.gguf");
    const bool large = info(type).block_elements == 256;
    // The two matrices with rows of 288, and that there is no tokenizer.
    EXPECT_EQ(report.notes.size(), large ? 1 + c.layers : 1) << info(type).name;
    const std::string name = "model.layers.1.mlp.up_proj.weight";
    const form::Matrix m = form::decode(*source.form(name));
    form::GgmlTensor wanted{type, form::to_ggml(type, m.view())};
    const auto got = form::as_ggml(*back->form(name));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->type, type);
    EXPECT_TRUE(std::ranges::equal(got->data.bytes, wanted.data.bytes));
    EXPECT_EQ(form::as_ggml(*back->form("model.layers.0.input_layernorm.weight"))->type,
              DType::kF32);
    const auto odd = form::as_ggml(*back->form("model.layers.0.mlp.down_proj.weight"));
    EXPECT_EQ(odd->type, type == DType::kQ4_K   ? DType::kQ5_0
                         : type == DType::kQ2_K ? DType::kIQ4_NL
                                                : type);
  }
}

TEST(ExportGguf, FormsWithATypeOfTheirOwnKeepTheirNumbers) {
  const DecoderConfig c = block_config();
  const MemoryWeights dense(c, testing::random_tensors(c));
  const FormWeights source(dense, "uniform(4, group=32)");
  const Folder folder;
  export_gguf(source, folder.path() / "m.gguf");
  const auto back = open_weights(folder.path() / "m.gguf");
  const auto* name = "model.layers.1.mlp.up_proj.weight";
  EXPECT_EQ(form::decode(*back->form(name)).values, form::decode(*source.form(name)).values);
  EXPECT_EQ(form::as_ggml(*back->form(name))->type, DType::kQ4_0);
  // Rows of q in another order.
  const auto* q = "model.layers.0.self_attn.q_proj.weight";
  const form::Matrix ours = form::decode(*source.form(q)), theirs = form::decode(*back->form(q));
  for (uint64_t r = 0; r < ours.shape.rows; ++r) {
    EXPECT_TRUE(std::ranges::equal(ours.view().row(r), theirs.view().row(paired_row(r, 64)))) << r;
  }
}

TEST(ExportGguf, FormsWithoutATypeAreNamedAndCanBeEncoded) {
  const DecoderConfig c = block_config();
  const MemoryWeights dense(c, testing::random_tensors(c));
  const FormWeights source(dense, "uniform(3, group=16)");
  const Folder folder;
  EXPECT_SAYS([&] { export_gguf(source, folder.path() / "m.gguf"); },
              "k_proj.weight': GGUF cannot hold uniform(3, group=16); --type");
  EXPECT_TRUE(fs::is_empty(folder.path()));
  export_gguf(source, folder.path() / "m.gguf", {.type = DType::kQ8_0});
  EXPECT_LT(
      difference(logits_of(make_model(source)), logits_of(load_model(folder.path() / "m.gguf"))),
      0.1);
}

TEST(ExportGguf, GgufFilesAreRewritten) {
  const DecoderConfig c = block_config();
  const MemoryWeights source(c, testing::random_tensors(c));
  const Folder folder;
  const fs::path first = folder.path() / "a.gguf", second = folder.path() / "b.gguf",
                 third = folder.path() / "c.gguf";
  export_gguf(source, first, {.type = DType::kQ6_K});
  export_gguf(first, second);
  EXPECT_EQ(read_file(first), read_file(second));
  export_gguf(first, third, {.type = DType::kQ4_0});
  const Bytes file = read_file(third);
  EXPECT_EQ(*io::find_as<uint32_t>(io::read_gguf_metadata(file), "general.file_type"), 2u);
  for (const io::TensorRegion& region : io::describe(file, third).layout.tensors) {
    EXPECT_EQ(region.dtype, region.shape.size() == 1 ? DType::kF32 : DType::kQ4_0) << region.name;
  }
  EXPECT_SAYS([&] { export_gguf(first, second); }, "b.gguf");  // it is there
  export_gguf(first, second, {.overwrite = true});
}

TEST(ExportGguf, GgufFilesOfUnknownArchitecturesAndTypesAreRewrittenToo) {
  const Folder folder;
  const fs::path path = folder.path() / "a.gguf";
  io::GgufWriter out(path, false, {{"general.architecture", std::string("mamba")}},
                     {{"x.weight", DType::kIQ1_S, {2, 256}}, {"i", DType::kI32, {4}}});
  out.write(Bytes(100, 7));
  out.write(Bytes(16, 9));
  out.commit();
  export_gguf(path, folder.path() / "b.gguf");
  EXPECT_EQ(read_file(path), read_file(folder.path() / "b.gguf"));
  EXPECT_SAYS([&] { export_gguf(path, folder.path() / "c.gguf", {.type = DType::kQ8_0}); },
              "tensor 'x.weight': its type cannot be decoded");
  EXPECT_FALSE(fs::exists(folder.path() / "c.gguf"));
}

TEST(ExportGguf, AnInterruptionLeavesNothing) {
  const DecoderConfig c = block_config();
  const MemoryWeights source(c, testing::random_tensors(c));
  const Folder folder;
  int calls = 0;
  ExportOptions options;
  options.progress = [&](uint64_t, uint64_t) { return ++calls < 5; };
  EXPECT_SAYS([&] { export_gguf(source, folder.path() / "m.gguf", options); }, "interrupted");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(ExportGguf, RefusesTypesThatAreNoTarget) {
  const DecoderConfig c = block_config();
  const MemoryWeights source(c, testing::random_tensors(c));
  const Folder folder;
  EXPECT_SAYS([&] { export_gguf(source, folder.path() / "m", {.type = DType::kIQ1_S}); },
              "cannot be encoded to iq1_s");
}

TEST(ExportGguf, TensorsWithoutANameAreNamed) {
  const DecoderConfig c = testing::small_config();
  Tensors tensors = testing::random_tensors(c);
  tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{4}, {1, 2, 3, 4}};
  const Folder folder;
  export_gguf(MemoryWeights(c, tensors), folder.path() / "m.gguf");
  tensors["model.vision.patches"] = {{4}, {1, 2, 3, 4}};
  EXPECT_SAYS([&] { export_gguf(MemoryWeights(c, tensors), folder.path() / "n.gguf"); },
              "tensor 'model.vision.patches': GGUF has no name for it");
}

// Through a file, as llama.cpp would read it.
Tokenizer around(const Tokenizer& tokenizer, uint32_t rows) {
  const Bytes file = io::gguf_header(gguf_metadata(tokenizer, rows), {});
  return tokenizer_from_gguf(io::read_gguf_metadata(file));
}

void expect_golden(const Tokenizer& tokenizer, const char* file) {
  for (const auto& entry : testing::golden_cases(file)) {
    const auto text = entry["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, {.add_bos = false}), entry["ids"].get<Ids>()) << entry["text"];
  }
}

TEST(ExportGguf, SentencePieceTokenizersEncodeTheSame) {
  const Tokenizer& original = testing::reference();
  const Tokenizer back = around(original, static_cast<uint32_t>(original.size()) + 8);
  EXPECT_EQ(back.size(), original.size() + 8);
  EXPECT_EQ(back.piece(original.size()), fmt::format("[PAD{}]", original.size()));
  EXPECT_EQ(back.kind(original.size()), PieceKind::kUnused);
  EXPECT_EQ(back.bos(), original.bos());
  EXPECT_EQ(back.eos(), original.eos());
  EXPECT_EQ(back.adds_bos(), original.adds_bos());
  expect_golden(back, "reference_ids.json");
  EXPECT_SAYS([&] { gguf_metadata(original, 100); }, "4096 tokens, the embedding only 100 rows");
}

TEST(ExportGguf, ByteLevelTokenizersEncodeTheSame) {
  const Tokenizer original =
      tokenizer_from_json(read_file(testing::golden("byte_level.json")), "byte_level.json");
  const Tokenizer back = around(original, static_cast<uint32_t>(original.size()));
  EXPECT_EQ(back.algorithm(), "byte-level BPE");
  for (const auto& entry : testing::golden_cases("byte_level_ids.json")) {
    const auto text = entry["text"].get<std::string>();
    EXPECT_EQ(back.encode(text), original.encode(text)) << entry["text"];
    EXPECT_EQ(back.encode(text, {.parse_special = true}),
              original.encode(text, {.parse_special = true}))
        << entry["text"];
  }
}

TEST(ExportGguf, MergesByRanksBecomeScores) {
  const Tokenizer original = testing::from_json(nlohmann::json::parse(R"({
    "model": {"type": "BPE", "unk_token": "<unk>",
              "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "c": 4, "ab": 5, "bc": 6, "abc": 7, "▁abc": 8},
              "merges": ["b c", "a b", "a bc", "▁ abc"]},
    "normalizer": {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}})"));
  const Tokenizer back = around(original, 9);
  for (const char* text : {"abc", "ab", "aabcbab", "abab bc abc", "cba"}) {
    EXPECT_EQ(back.encode(text), original.encode(text)) << text;
  }
  EXPECT_EQ(back.encode("aabc"), (Ids{1, 2, 7}));
}

TEST(ExportGguf, TokenizersThatGgufCannotHoldAreLeftOut) {
  const Tokenizer unigram =
      tokenizer_from_sentencepiece(read_file(testing::golden("unigram.model")));
  EXPECT_SAYS([&] { gguf_metadata(unigram, 100'000); }, "cannot hold a unigram tokenizer");
}

// Files of other programs, which are at fault themselves.
TEST(ExportGguf, FilesWithNamesThatGgufForbidsAreBadData) {
  const Folder folder;
  const fs::path from = folder.path() / "bad.gguf", to = folder.path() / "to.gguf";
  const io::GgufMetadata good = {{"general.architecture", std::string("other")}};
  io::GgufMetadata twice = good;
  twice.push_back(good.front());
  const auto kind = [&](const io::GgufMetadata& metadata, const std::string& name) {
    Bytes file = io::gguf_header(metadata, std::vector<io::TensorInfo>{{name, DType::kF32, {8}}});
    file.resize(file.size() + 32);
    testing::write_file(from, file);
    try {
      export_gguf(from, to, {.overwrite = true});
    } catch (const Error& e) {
      return e.kind();
    }
    return ErrorKind::kLimit;  // of none
  };
  EXPECT_EQ(kind(good, "a"), ErrorKind::kLimit);
  EXPECT_EQ(kind(good, std::string(64, 'a')), ErrorKind::kData);
  EXPECT_EQ(kind(twice, "a"), ErrorKind::kData);
}

TEST(ExportGguf, TheReferenceModelComesBackFromItsFile) {
  const fs::path model = testing::source_root() / "data/lm";
  const Folder folder;
  const ExportReport report = export_gguf(model, folder.path() / "lm.gguf");
  EXPECT_TRUE(report.notes.empty());
  const LanguageModel ours = load_model(model), theirs = load_model(folder.path() / "lm.gguf");
  ASSERT_NE(theirs.tokenizer(), nullptr) << theirs.tokenizer_error();
  const Ids ids = ours.tokenizer()->encode("It is a truth universally acknowledged");
  EXPECT_EQ(theirs.tokenizer()->encode("It is a truth universally acknowledged"), ids);
  Session a(ours, 32), b(theirs, 32);
  const form::MatrixView x = a.feed(ids), y = b.feed(ids);
  EXPECT_LT(difference({x.data, x.data + x.shape.size()}, {y.data, y.data + y.shape.size()}), 1e-5);
}

}  // namespace
}  // namespace pith::model
