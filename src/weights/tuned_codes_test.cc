#include "pith/weights/tuned_codes.h"

#include <gtest/gtest.h>

#include "linears.h"
#include "pith/base/error.h"
#include "stitched_model.h"
#include "testing_tiny.h"

namespace pith::weights {
namespace {

using testing::tiny;
using Forms = std::map<std::string, form::FormPtr, std::less<>>;

Forms coded(const char* expression) {
  Forms out;
  for (const model::DecoderLayer& layer : tiny().model->weights().layers) {
    for (const model::Linear* l : linears(layer)) {
      out[l->name] = form::encode(form::parse(expression), form::decode(*l->weight).view());
    }
  }
  return out;
}

CalibrationText some_text() {
  return calibration_text(*tiny().model, default_calibration_text(), {.tokens = 256, .window = 32});
}

struct Tuning {
  CalibrationText text = some_text();
  Forms forms = coded("codebook(16, dim=2, group=row)");
  std::vector<std::string> names = {};

  Refining refining(int threads = 2) const {
    return {.model = *tiny().model,
            .matrices = names,
            .forms = forms,
            .text = text,
            .threads = threads,
            .progress = {}};
  }
  double divergence(const Forms& of) const {
    StitchedModel model(*tiny().model, text, 2);
    return model.divergence(
        [&](std::string_view name) {
          const auto found = of.find(name);
          return found == of.end() ? nullptr : found->second;
        },
        0, text.count());
  }
};

uint64_t bits(const Forms& forms) {
  uint64_t sum = 0;
  for (const auto& entry : forms) sum += form::bits(*entry.second);
  return sum;
}

TEST(TunedCodes, LoseLessThanBeforeInAsManyBits) {
  const Tuning t;
  const Forms tuned = tune_codes(t.refining(), {.steps = 12, .tokens = 64});
  const Forms entries = tune_codes(
      t.refining(), {.steps = 12, .tokens = 64, .codes = {.moves = fit::CodeMoves::kNone}});
  const double before = t.divergence(t.forms), after = t.divergence(tuned);
  EXPECT_LT(after, 0.8 * before);
  EXPECT_LT(after, 0.9 * t.divergence(entries));
  EXPECT_EQ(bits(tuned), bits(t.forms));
}

TEST(TunedCodes, AreTheSameOnAnyNumberOfThreads) {
  const Tuning t;
  const TuningOptions o = {.steps = 2, .tokens = 64};
  const Forms one = tune_codes(t.refining(1), o), more = tune_codes(t.refining(3), o);
  for (const auto& entry : one) {
    EXPECT_EQ(form::write(*entry.second), form::write(*more.at(entry.first))) << entry.first;
  }
}

TEST(TunedCodes, LeaveOtherFormsAlone) {
  Tuning t;
  const std::string name = "model.layers.1.mlp.up_proj.weight";
  t.forms[name] =
      form::encode(form::parse("uniform(4, group=32)"), form::decode(*t.forms[name]).view());
  const Forms tuned = tune_codes(t.refining(), {.steps = 1, .tokens = 32});
  EXPECT_EQ(tuned.size(), t.forms.size() - 1);
  EXPECT_FALSE(tuned.contains(name));
}

TEST(TunedCodes, NeedATextAndCodes) {
  Tuning t;
  t.forms = coded("uniform(2, group=32)");
  EXPECT_THROW(tune_codes(t.refining()), Error);
  Tuning silent;
  silent.text = {};
  EXPECT_THROW(tune_codes(silent.refining()), Error);
}

}  // namespace
}  // namespace pith::weights
