// Experts that lie one below the other in one form.
#include "expert_rows.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "pith/archive/writer.h"
#include "pith/base/parallel.h"
#include "pith/model/export_gguf.h"
#include "pith/model/session.h"
#include "testing_model.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;

form::Matrix matrix(uint64_t rows, uint64_t cols) {
  form::Matrix m({rows, cols});
  std::mt19937 random(3);
  for (float& v : m.values) v = std::normal_distribution<float>()(random);
  return m;
}

TEST(ExpertRows, AreTheRowsOfTheirForm) {
  constexpr uint64_t kExperts = 5, kRows = 37, kCols = 96;
  const form::Matrix all = matrix(kExperts * kRows, kCols), x = matrix(3, kCols);
  for (const char* text :
       {"dense(bf16)", "uniform(4, group=32)", "uniform(3, grid=gaussian) > rans", "lowrank(8)",
        "hadamard | uniform(4)", "sparse(2:4) + uniform(2)", "codebook(16, dim=2)", "ggml(q8_0)",
        "lattice(e8, 2)", "trellis(2, states=64)", "dense(bf16) > exponent",
        "tiles(part(uniform(2), rows=0..50), part(dense(f16), rows=50..))"}) {
    const form::FormPtr form = form::encode(form::parse(text), all.view());
    form::Matrix whole;
    form::apply(*form, x.view(), whole);
    const form::Matrix decoded = form::decode(*form);
    for (uint64_t e = 0; e < kExperts; ++e) {
      const form::FormPtr rows = expert_rows(form, e * kRows, (e + 1) * kRows);
      ASSERT_EQ(rows->shape(), (form::Shape{kRows, kCols})) << text;
      const form::Matrix part = form::decode(*rows);
      EXPECT_TRUE(std::equal(part.values.begin(), part.values.end(),
                             decoded.values.begin() + static_cast<int64_t>(e * kRows * kCols)))
          << text;
      form::Matrix y;
      form::apply(*rows, x.view(), y, 2);
      for (uint64_t b = 0; b < 3; ++b) {
        for (uint64_t r = 0; r < kRows; ++r) {
          EXPECT_NEAR(y.row(b)[r], whole.row(b)[e * kRows + r], 1e-4F) << text;
        }
      }
    }
  }
}

std::vector<float> logits_of(const LanguageModel& model) {
  std::vector<int32_t> ids(model.config().vocabulary);
  std::iota(ids.begin(), ids.end(), 0);
  Session session(model, ids.size(), 2);
  const form::MatrixView m = session.feed(ids, Logits::kAll);
  return {m.data, m.data + m.shape.size()};
}

void pack(const std::filesystem::path& from, const std::filesystem::path& to,
          const std::string& rule) {
  archive::WriteOptions options;
  if (!rule.empty()) options.forms = {archive::parse_form_rule(rule)};
  options.overwrite = true;
  const std::filesystem::path paths[] = {from};
  archive::write_archive(archive::expand_inputs(paths), to, options);
}

// The model in an archive, whose experts are in forms of their own, is that of the GGUF file,
// where they lie in one tensor.
TEST(ExpertRows, AModelOfExpertsRunsFromAnArchiveOfEitherFormat) {
  for (const auto a : {Architecture::kMixtral, Architecture::kQwen2Moe, Architecture::kQwen3Moe}) {
    const DecoderConfig c = small_experts(a);
    const Tensors tensors = random_tensors(c);
    const Folder folder;
    const auto hf = folder.path() / "hf", gguf = folder.path() / "model.gguf";
    std::filesystem::create_directory(hf);
    write_hf(hf, c, tensors);
    write_gguf(gguf, testing::gguf_metadata(c), gguf_tensors(c, tensors));
    const auto exact = logits_of(load_model(hf));
    for (const std::string rule : {"", "dense(f32)", "uniform(8, group=row)"}) {
      pack(hf, folder.path() / "hf.pith", rule);
      pack(gguf, folder.path() / "gguf.pith", rule);
      const auto wanted = logits_of(load_model(folder.path() / "hf.pith"));
      const auto logits = logits_of(load_model(folder.path() / "gguf.pith"));
      ASSERT_EQ(logits.size(), wanted.size());
      for (size_t i = 0; i < logits.size(); ++i) {
        ASSERT_NEAR(logits[i], wanted[i], 3e-3F) << rule;
        if (rule.starts_with("uniform")) continue;
        ASSERT_NEAR(logits[i], exact[i], 3e-5F) << rule;
      }
      // Such a file becomes one for llama.cpp as well.
      const auto exported = folder.path() / "exported.gguf";
      export_gguf(folder.path() / "gguf.pith", exported,
                  {.type = DType::kF32, .threads = 2, .overwrite = true});
      const auto back = logits_of(load_model(exported));
      double difference = 0;
      for (size_t i = 0; i < back.size(); ++i) difference += std::abs(back[i] - logits[i]);
      // With inputs in bytes, a token now and then goes to another expert.
      EXPECT_LT(difference,
                (rule.starts_with("uniform") ? 0.2 : 1e-5) * static_cast<double>(back.size()))
          << rule;
    }
  }
}

}  // namespace
}  // namespace pith::model
