// Codes of several neighbours of a row: beside what encode() finds, and beside scalar codes.
#include <gtest/gtest.h>

#include <cmath>

#include "pith/fit/expression_fitter.h"
#include "pith/fit/feedback.h"
#include "pith/fit/quantizers.h"
#include "pith/form/vector_fit.h"
#include "testing.h"

namespace pith::fit {
namespace {

using form::encode;
using form::Matrix;
using form::parse;

constexpr const char* kForms[] = {
    "codebook(64, dim=3, group=row)",
    "codebook(16, dim=2, rows=16, columns=32, entries=i8)",
    "codebook(32, dim=4, stages=2, fit=additive, group=32)",
    "codebook(16)",
    "lattice(e8, 2)",
    "lattice(e8, 1, group=tensor)",
    "lattice(pyramid, dim=8, bits=3, gain=3)",
};

ErrorFeedback::Result fitted(const char* expression, const Matrix& w, const Metric& metric,
                             const FeedbackOptions& options = {}) {
  return ErrorFeedback(metric, options).encode(parse(expression), w.view());
}

TEST(VectorFeedback, GainsByCorrelationsAndKeepsTheSize) {
  const Matrix w = noise({64, 96}, 1, 0.02f);
  const Metric metric = metric_of(correlated(800, 96, 10));
  for (const char* text : kForms) {
    const form::FormPtr plain = encode(parse(text), w.view());
    const auto result = fitted(text, w, metric);
    EXPECT_EQ(form::bits(*result.form), form::bits(*plain)) << text;
    EXPECT_EQ(result.form->expression(), plain->expression()) << text;
    const double before = error_of(metric, w, *plain), after = error_of(metric, w, *result.form);
    EXPECT_LT(after, 0.75 * before) << text;
    printf("%s %.4f\n", text, after / before);
  }
}

}  // namespace
}  // namespace pith::fit
