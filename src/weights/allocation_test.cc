// Choices of forms by what is said and by what is true of their losses, on the reference model.
#include "pith/weights/allocation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "pith/base/error.h"
#include "pith/budget/solve.h"
#include "pith/fit/expression_fitter.h"
#include "pith/weights/compress_model.h"
#include "testing_reference.h"

namespace pith::weights {
namespace {

namespace fs = std::filesystem;
using testing::reference;
using Chosen = std::vector<size_t>;

CompressModelOptions small_options(Choose choose) {
  CompressModelOptions options;
  options.size = {.tokens = 256, .window = 64};
  options.gradient_tokens = 256;
  options.threads = 2;
  for (const char* text : {"uniform(2, group=64)", "uniform(3, group=64)", "uniform(4, group=64)",
                           "uniform(6, group=64)"}) {
    options.candidates.push_back({text, fit::expression_fitter(form::parse(text))});
  }
  options.allocation.keep = true;
  options.allocation.choose = std::move(choose);
  options.rules = {archive::lossless_rule("layers.[1-6]|embed")};  // little is to be fitted
  return options;
}

ModelCompressor compressor(const CompressModelOptions& options) {
  return ModelCompressor(reference().model, reference().inputs, default_calibration_text(),
                         options);
}

constexpr Limits kAny = {.ratio = 1e-3};

TEST(AllocationQuality, TheStitchedModelLosesNothingWhereNothingIsReplaced) {
  std::vector<double> runs;
  for (const int threads : {1, 3}) {
    CompressModelOptions options = small_options([&](const Choosing& c) {
      EXPECT_EQ(c.windows, 4u);
      EXPECT_EQ(c.problem.parts.size(), 14u);
      const Chosen as_it_was(14, 99), coarse(14, 0), fine(14, 3);
      EXPECT_NEAR(c.divergence(as_it_was, 2, 0), 0, 1e-9);
      EXPECT_EQ(c.stream_error(0, 8, as_it_was, 2), 0);
      EXPECT_GT(c.divergence(coarse, 4, 0), 10 * c.divergence(fine, 4, 0));
      EXPECT_GT(c.stream_error(0, 1, coarse, 2), 10 * c.stream_error(0, 1, fine, 2));
      EXPECT_EQ(c.stream_error(1, 7, coarse, 2), 0);  // none of these layers is fitted
      // Whole rounds see all windows; others differ.
      EXPECT_NEAR(c.divergence(coarse, 4, 1), c.divergence(coarse, 4, 0), 1e-9);
      EXPECT_NE(c.divergence(coarse, 1, 1), c.divergence(coarse, 1, 0));
      EXPECT_EQ(c.layers[0], 0u);
      EXPECT_EQ(c.layers[13], 7u);
      EXPECT_EQ(c.entropies.size(), 9u);
      runs.push_back(c.divergence(coarse, 3, 0));
      runs.push_back(c.stream_error(0, 8, coarse, 3));
      return coarse;
    });
    options.threads = threads;
    compressor(options).plan(kAny);
  }
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[0], runs[2]);
  EXPECT_EQ(runs[1], runs[3]);
}

TEST(AllocationQuality, WhatIsChosenIsWhatIsStored) {
  const auto every_other = [](const Choosing& c) {
    Chosen chosen;
    for (size_t i = 0; i < c.problem.parts.size(); ++i) chosen.push_back(i % 2 == 0 ? 1 : 3);
    return chosen;
  };
  CompressModelOptions options = small_options(every_other);
  const fs::path journal = fs::path(::testing::TempDir()) / "allocation.journal";
  fs::remove_all(journal);
  options.journal = journal;
  const CompressedModel made = compressor(options).compress(kAny);
  ASSERT_EQ(made.plan.tensors.size(), 14u);
  double bytes = static_cast<double>(made.plan.overhead);
  for (size_t i = 0; i < 14; ++i) {
    const PlannedTensor& t = made.plan.tensors[i];
    EXPECT_EQ(t.form, i % 2 == 0 ? "uniform(3, group=64)" : "uniform(6, group=64)");
    const form::FormPtr& form = made.tensors.at(t.name);
    EXPECT_EQ(form::to_string(form->expression()), t.form);
    bytes += static_cast<double>(form::bits(*form)) / 8;
  }
  EXPECT_NEAR(made.plan.bytes, bytes, 1);
  EXPECT_TRUE(made.measured);
  // Begun again, nothing is fitted, and the same comes of it.
  for (FormCandidate& c : options.candidates) {
    c.fitter = [](const fit::Task&) -> fit::Fitted { throw std::logic_error("fitted again"); };
  }
  const CompressedModel again = compressor(options).compress(kAny);
  for (const auto& [name, form] : made.tensors) {
    EXPECT_EQ(form::write(*form), form::write(*again.tensors.at(name))) << name;
  }
  fs::remove_all(journal);
}

TEST(AllocationQuality, LimitsHoldWhateverChooses) {
  CompressModelOptions options =
      small_options([](const Choosing& c) { return Chosen(c.problem.parts.size(), 3); });
  options.calibrated = false;
  ModelCompressor all = compressor(options);
  const ModelPlan most = all.plan(kAny);
  EXPECT_THROW(all.plan({.bytes = static_cast<uint64_t>(most.bytes) - 100}), Error);
  options.allocation.choose = [](const Choosing& c) {
    EXPECT_FALSE(c.divergence);  // there is no text
    return Chosen(3, 0);
  };
  EXPECT_THROW(compressor(options).plan(kAny), Error);
  // Squared errors say nothing of nats.
  options.allocation.choose = {};
  options.allocation.proxy = Proxy::kSquared;
  EXPECT_THROW(compressor(options).plan({.divergence = 0.1}), Error);
  EXPECT_NO_THROW(compressor(options).plan(kAny));
}

TEST(AllocationQuality, ProxiesAreHeldAgainstWhatIsLost) {
  ProxyRecords records;
  CompressModelOptions options = small_options([&](const Choosing& c) {
    records = record_proxies(c, 2, 10);
    return Chosen(c.problem.parts.size(), 0);
  });
  compressor(options).plan(kAny);
  for (const budget::ProxyRecord* record : {&records.of_matrices, &records.of_choices}) {
    const auto qualities = record->qualities();
    ASSERT_EQ(qualities.size(), kProxies.size());
    const auto expected =
        std::ranges::find(qualities, name(Proxy::kDivergence), &budget::ProxyQuality::proxy);
    ASSERT_NE(expected, qualities.end());
    EXPECT_EQ(expected->pairs, record == &records.of_matrices ? 14u * 4 : 10u);
    EXPECT_GT(expected->spearman, 0.9);
    EXPECT_NEAR(expected->slope, 1, 0.5);
    const auto squared =
        std::ranges::find(qualities, name(Proxy::kSquared), &budget::ProxyQuality::proxy);
    EXPECT_LT(squared->spearman, expected->spearman);
  }
  options.calibrated = false;
  EXPECT_THROW(compressor(options).plan(kAny), Error);
}

}  // namespace
}  // namespace pith::weights
