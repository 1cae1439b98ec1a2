// Models of GGUF files, fitted: their tensors have other names, q and k another order of rows, and
// experts lie in one tensor.
#include <gtest/gtest.h>

#include "../model/testing_model.h"
#include "pith/archive/reader.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/base/half.h"
#include "pith/fit/expression_fitter.h"
#include "pith/form/ggml_tensor.h"
#include "pith/model/export_gguf.h"
#include "pith/model/tensor_names.h"
#include "pith/weights/compress_model.h"

namespace pith::weights {
namespace {

namespace fs = std::filesystem;
using namespace model::testing;
using model::Architecture;
using model::DecoderConfig;

// Rows are whole blocks of 32.
DecoderConfig config_of(Architecture architecture) {
  DecoderConfig c = architecture == Architecture::kLlama ? small_config(architecture)
                                                         : small_experts(architecture);
  c.width = 64;
  c.heads = 2;
  c.kv_heads = 1;
  c.head_size = c.rope_size = 32;
  c.layers = 2;
  c.feed_forward = c.expert_feed_forward = 96;
  if (c.shared_feed_forward != 0) c.shared_feed_forward = 32;
  return c;
}

struct Model {
  explicit Model(Architecture architecture, std::optional<DType> type = {}) {
    fs::create_directories(hf);
    const DecoderConfig c = config_of(architecture);
    write_hf(hf, c, random_tensors(c));
    model::export_gguf(hf, gguf, {.type = type});
  }
  Folder folder;
  fs::path hf = folder.path() / "hf", gguf = folder.path() / "m.gguf";
  fs::path archive = folder.path() / "s.pith", back = folder.path() / "back.gguf";
};

// Into `archive`, every matrix in the form, by what its weights alone say.
CompressedModel compress(const Model& m, const fs::path& input, const char* form,
                         std::vector<archive::FormRule> rules = {}) {
  CompressModelOptions options;
  options.calibrated = false;
  options.candidates = {{form, fit::expression_fitter(form::parse(form))}};
  options.rules = std::move(rules);
  const model::LanguageModel model = model::load_model(input);
  ModelCompressor compressor(model, archive::expand_inputs(std::span(&input, 1)), "", options);
  CompressedModel made = compressor.compress({});
  archive::WriteOptions write{.overwrite = true};
  compressor.store(made, write);
  archive::write_archive(compressor.inputs(), m.archive, write);
  return made;
}

// The only file of the archive, as it reads.
void decompress(const Model& m) {
  const auto archive = archive::Archive::open(m.archive);
  Bytes file(archive.files().at(0).size);
  archive.read(0, 0, file);
  write_file(m.back, file);
}

std::vector<float> rounded_to_f16(std::vector<float> values) {
  for (float& v : values) v = float_from_f16(f16_from_float(v));
  return values;
}

class CompressGguf : public ::testing::TestWithParam<std::tuple<Architecture, bool>> {};

TEST_P(CompressGguf, RunsInTheFormsThatWereFittedAndComesBackAsTheyAre) {
  const auto [architecture, blocks] = GetParam();
  const Model m(architecture, blocks ? std::optional(DType::kQ8_0) : std::nullopt);
  const CompressedModel made = compress(m, m.gguf, "uniform(4, group=32)");
  decompress(m);
  const auto was = model::open_weights(m.gguf), small = model::open_weights(m.archive),
             back = model::open_weights(m.back);
  EXPECT_EQ(small->names(), was->names());
  EXPECT_EQ(back->names(), was->names());
  size_t fitted = 0;
  for (const std::string& name : was->names()) {
    SCOPED_TRACE(name);
    const std::vector<float> stored = form::decode(*small->form(name)).values;
    const std::vector<float> unpacked = form::decode(*back->form(name)).values;
    const auto form = made.tensors.find(name);
    if (form == made.tensors.end()) {
      EXPECT_EQ(stored, form::decode(*was->form(name)).values);
      EXPECT_EQ(unpacked, stored);
      continue;
    }
    ++fitted;
    EXPECT_EQ(stored, form::decode(*form->second).values);
    EXPECT_EQ(unpacked, blocks ? rounded_to_f16(stored) : stored);
  }
  EXPECT_EQ(fitted, made.tensors.size());
  // All but norms, biases and what chooses experts.
  EXPECT_GE(fitted, 2U + 2 * (4 + 3));
  // Products with codes round what they multiply.
  const std::vector<float> logits = logits_of(model::load_model(m.archive));
  const std::vector<float> again = logits_of(model::load_model(m.back));
  double squares = 0, differences = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    squares += again[i] * again[i];
    differences += (logits[i] - again[i]) * (logits[i] - again[i]);
  }
  EXPECT_LT(differences, 0.05 * squares);
}

INSTANTIATE_TEST_SUITE_P(Architectures, CompressGguf,
                         ::testing::Combine(::testing::Values(Architecture::kLlama,
                                                              Architecture::kMixtral,
                                                              Architecture::kQwen2Moe),
                                            ::testing::Bool()));

// The blocks of one weight, row by row.
std::vector<Bytes> rows_of(const form::Form& form, DType type) {
  const auto tensor = form::as_ggml(form);
  EXPECT_TRUE(tensor && tensor->type == type);
  const uint64_t rows = form.shape().rows, size = tensor->data.bytes.size() / rows;
  std::vector<Bytes> all;
  for (uint64_t r = 0; r < rows; ++r) {
    const ByteView row = tensor->data.bytes.subspan(r * size, size);
    all.emplace_back(row.begin(), row.end());
  }
  return all;
}

void expect_blocks_kept(Architecture architecture, bool from_gguf) {
  const Model m(architecture);
  const CompressedModel made = compress(m, from_gguf ? m.gguf : m.hf, "ggml(q4_0)");
  model::export_gguf(m.archive, m.back);
  const auto exported = model::open_weights(m.back);
  const DecoderConfig& config = exported->config();
  for (const auto& [name, form] : made.tensors) {
    SCOPED_TRACE(name);
    const bool paired = !from_gguf && model::has_paired_rows_in_gguf(name, architecture);
    const std::vector<Bytes> fitted = rows_of(*form, DType::kQ4_0);
    const std::vector<Bytes> got = rows_of(*exported->form(name), DType::kQ4_0);
    ASSERT_EQ(got.size(), fitted.size());
    for (uint64_t r = 0; r < got.size(); ++r) {
      const uint64_t at = paired ? model::paired_row(r, config.head_size) : r;
      EXPECT_TRUE(got[at] == fitted[r]) << r;
    }
  }
}

TEST(ExportOfFits, BlocksAreThoseThatWereFitted) {
  expect_blocks_kept(Architecture::kLlama, false);
  expect_blocks_kept(Architecture::kLlama, true);
  expect_blocks_kept(Architecture::kQwen3Moe, false);
  expect_blocks_kept(Architecture::kMixtral, true);
}

TEST(CompressGguf, EachMatrixGetsTheFormThatItHasInAnotherModel) {
  const Model m(Architecture::kLlama);
  const model::LanguageModel model = model::load_model(m.hf);
  CompressModelOptions options;
  options.calibrated = false;
  for (const std::string& name : model::open_weights(m.hf)->names()) {
    const char* form = name.find("v_proj") != std::string::npos ? "ggml(q8_0)" : "ggml(q4_0)";
    options.forms[name] = {form, fit::expression_fitter(form::parse(form))};
  }
  const auto compressor = [&] {
    return ModelCompressor(model, archive::expand_inputs(std::span(&m.hf, 1)), "", options);
  };
  const CompressedModel made = compressor().compress({});
  EXPECT_EQ(made.tensors.size(), 2U + 2 * 7);
  for (const auto& [name, form] : made.tensors) {
    EXPECT_EQ(form::to_string(form->expression()), options.forms.at(name).name) << name;
  }
  options.forms.erase("model.layers.1.mlp.up_proj.weight");
  EXPECT_THROW(compressor().compress({}), Error);
}

TEST(CompressGguf, BlocksThatAreToStayAsTheyAreDoSo) {
  const Model m(Architecture::kLlama, DType::kQ8_0);
  compress(m, m.gguf, "uniform(4, group=32)",
           {archive::lossless_rule("attn_q"), archive::parse_form_rule("attn_v=uniform(8)")});
  decompress(m);
  const MappedFile before(m.gguf), after(m.back);
  const auto was = io::describe(before.bytes(), m.gguf).layout.tensors;
  const auto is = io::describe(after.bytes(), m.back).layout.tensors;
  ASSERT_EQ(is.size(), was.size());
  for (size_t i = 0; i < is.size(); ++i) {
    const bool kept = is[i].name.find("attn_q") != std::string::npos || is[i].shape.size() == 1;
    EXPECT_EQ(is[i].dtype, kept ? was[i].dtype : DType::kF16) << is[i].name;
    if (!kept) continue;
    EXPECT_TRUE(std::ranges::equal(before.bytes().subspan(was[i].offset, was[i].size),
                                   after.bytes().subspan(is[i].offset, is[i].size)))
        << is[i].name;
  }
  const auto archive = archive::Archive::open(m.archive);
  for (size_t t = 0; t < archive.tensors().size(); ++t) {
    const auto& tensor = archive.tensors()[t];
    if (tensor.region.name.find("attn_v") == std::string::npos) continue;
    EXPECT_EQ(tensor.form->expression, "uniform(8, group=64)");
  }
}

TEST(CompressGguf, LimitsHoldAndTheLossIsMeasured) {
  const Folder folder;
  const fs::path lm = fs::path(__FILE__).parent_path().parent_path().parent_path() / "data/lm";
  const fs::path gguf = folder.path() / "lm.gguf";
  model::export_gguf(lm, gguf, {.type = DType::kQ8_0});
  const model::LanguageModel model = model::load_model(gguf);
  CompressModelOptions options;
  options.size = {.tokens = 256, .window = 128};
  options.gradient_tokens = 128;
  options.rules = {archive::lossless_rule("blk.[2-7]")};  // little is to be fitted
  ModelCompressor compressor(model, archive::expand_inputs(std::span(&gguf, 1)),
                             default_calibration_text(), options);
  const Limits limits{.bits = 7.5};
  const CompressedModel made = compressor.compress(limits);
  archive::WriteOptions write;
  compressor.store(made, write);
  uint64_t size = 0;
  archive::write_archive(
      compressor.inputs(), [&](ByteView bytes) { size += bytes.size(); }, write);
  const double bits = 8.0 * static_cast<double>(size) / static_cast<double>(made.plan.weights);
  EXPECT_LE(bits, 7.5);
  EXPECT_GT(bits, 7.4);
  EXPECT_EQ(compressor.input_bytes(), fs::file_size(gguf));
  EXPECT_EQ(made.plan.weights, 7344384U);
  ASSERT_TRUE(made.measured);
  EXPECT_LT(made.measured->divergence, 0.01);
}

TEST(CompressGguf, OneOfSeveralFilesOfAModelIsRefused) {
  const Model m(Architecture::kLlama);
  const DecoderConfig c = config_of(Architecture::kLlama);
  io::GgufMetadata metadata = model::testing::gguf_metadata(c);
  metadata.emplace_back("split.count", uint16_t{2});
  metadata.emplace_back("split.no", uint16_t{0});
  const fs::path first = m.folder.path() / "x-00001-of-00002.gguf",
                 second = m.folder.path() / "x-00002-of-00002.gguf";
  write_gguf(first, metadata, gguf_tensors(c, random_tensors(c)));
  write_gguf(second, metadata, {});
  try {
    compress(m, first, "uniform(4)");
    ADD_FAILURE() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_NE(std::string(error.what()).find("one of 2 files"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace pith::weights
