#include "pith/audit/evaluate_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "pith/base/error.h"
#include "pith/model/session.h"

namespace pith::audit {
namespace {

std::filesystem::path source_root() {
  return std::filesystem::path(__FILE__).parent_path().parent_path().parent_path();
}

const model::LanguageModel& reference_model() {
  static const model::LanguageModel model = model::load_model(source_root() / "data/lm");
  return model;
}

const std::string kText =
    "The old man opened the door and looked out into the night. There was nothing to be seen, and "
    "he went back to the fire.";

// Token by token, by the definition.
TEST(EvaluateText, LossIsThatOfEachTokenBehindBos) {
  const TextEvaluation found = evaluate_text(reference_model(), kText, {});
  ASSERT_TRUE(found.evaluation.bos);
  model::Session session(reference_model(), 128);
  double sum = 0;
  int32_t last = *reference_model().tokenizer()->bos();
  for (const int32_t id : found.ids) {
    const auto logits = session.feed({&last, 1}).row(0);
    double total = 0;
    for (const float x : logits) total += std::exp(static_cast<double>(x));
    sum += std::log(total) - static_cast<double>(logits[static_cast<size_t>(id)]);
    last = id;
  }
  EXPECT_EQ(found.evaluation.scored, found.ids.size());
  EXPECT_NEAR(found.evaluation.model.loss.mean, sum / static_cast<double>(found.ids.size()), 1e-4);
}

TEST(EvaluateText, WithoutBosTheFirstTokenIsNotPredicted) {
  const TextEvaluation found = evaluate_text(reference_model(), kText, {}, false);
  EXPECT_FALSE(found.evaluation.bos);
  EXPECT_EQ(found.evaluation.scored, found.ids.size() - 1);
}

TEST(EvaluateText, AgainstItselfNothingDiverges) {
  const TextEvaluation found =
      evaluate_text(reference_model(), kText, {.context = 8}, true, &reference_model());
  ASSERT_TRUE(found.evaluation.divergence);
  EXPECT_EQ(found.evaluation.divergence->kl.mean, 0);
  EXPECT_EQ(found.evaluation.divergence->same_best.mean, 1);
}

// A tokenizer of the files and an embedding that has no rows for its tokens.
TEST(EvaluateText, FilesThatDisagreeAreBadDataAndNoWrongUsage) {
  model::LanguageModel::Parts parts;
  parts.config = reference_model().config();
  parts.config.vocabulary = 100;
  parts.weights = reference_model().weights();
  parts.tokenizer = *reference_model().tokenizer();
  parts.where = "small";
  try {
    evaluate_text(model::LanguageModel(std::move(parts)), kText, {});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kData);
    EXPECT_NE(std::string(e.what()).find("the model has only 100"), std::string::npos) << e.what();
  }
}

TEST(EvaluateText, RefusesTextsAndOptionsThatMeasureNothing) {
  EXPECT_THROW(evaluate_text(reference_model(), "", {}), Error);
  EXPECT_THROW(evaluate_text(reference_model(), kText, {.context = 0}), Error);
  EXPECT_THROW(evaluate_text(reference_model(), kText, {.context = 4, .stride = 5}), Error);
  EXPECT_THROW(evaluate_text(reference_model(), kText,
                             {.progress = [](uint64_t, uint64_t) { return false; }}),
               Error);
}

}  // namespace
}  // namespace pith::audit
