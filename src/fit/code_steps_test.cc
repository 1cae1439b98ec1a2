#include "pith/fit/code_steps.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "pith/base/error.h"
#include "pith/math/matrix_product.h"

namespace pith::fit {
namespace {

using form::Matrix;
using form::MatrixView;

Matrix normal(form::Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw;
  Matrix m(shape);
  for (float& v : m.values) v = draw(random);
  return m;
}

// Half of E|W x - W' x|², with inputs of a few strong directions, some of which a step sees.
class Outputs {
 public:
  Outputs() : weights_(normal({kRows, kColumns}, 1)), inputs_(normal({kTokens, kColumns}, 2)) {
    const Matrix shared = normal({kTokens, kStrong}, 3), mix = normal({kStrong, kColumns}, 4);
    math::matrix_product(ref(shared), ref(mix), inputs_.values.data(), kColumns,
                         math::ProductInto::kAdd);
  }

  MatrixView weights() const { return weights_.view(); }
  double loss(MatrixView values) const {
    const Matrix errors = errors_of(values);
    Matrix outputs({kTokens, kRows});
    math::matrix_product(ref(inputs_), ref(errors).transposed(), outputs.values.data(), kRows);
    double sum = 0;
    for (const float v : outputs.values) sum += double{v} * v;
    return sum / 2 / kTokens;
  }
  // By so many inputs, other ones in each step.
  Matrix gradient(MatrixView values, uint64_t step) const {
    const Matrix errors = errors_of(values);
    Matrix some({kSome, kColumns}), outputs({kSome, kRows}), gradient(values.shape);
    for (uint64_t i = 0; i < kSome; ++i) {
      std::copy_n(inputs_.view().row((step * kSome + i) % kTokens).data(), kColumns,
                  some.row(i).data());
    }
    math::matrix_product(ref(some), ref(errors).transposed(), outputs.values.data(), kRows);
    math::matrix_product(ref(outputs).transposed(), ref(some), gradient.values.data(), kColumns);
    return gradient;
  }

 private:
  static constexpr uint64_t kRows = 96, kColumns = 64, kTokens = 512, kStrong = 8, kSome = 16;
  static math::StridedMatrix ref(const Matrix& m) {
    return math::row_major(m.values.data(), m.shape.rows, m.shape.cols);
  }
  Matrix errors_of(MatrixView values) const {
    Matrix errors(values.shape);
    for (size_t i = 0; i < errors.values.size(); ++i) {
      errors.values[i] = values.data[i] - weights_.values[i];
    }
    return errors;
  }

  Matrix weights_, inputs_;
};

const Outputs& outputs() {
  static const Outputs o;
  return o;
}

form::FormPtr nearest(const char* expression = "codebook(16, dim=2, group=row)") {
  return form::encode(form::parse(expression), outputs().weights());
}

// After so many steps, which become shorter.
double tuned(const CodeStepOptions& options, form::FormPtr start = nearest(), int count = 60) {
  CodeSteps steps(std::move(start), options);
  for (int i = 0; i < count; ++i) {
    const Matrix gradient = outputs().gradient(steps.values(), static_cast<uint64_t>(i));
    steps.take(gradient.view(), 1 - static_cast<double>(i) / count);
  }
  const Matrix decoded = form::decode(*steps.form());
  EXPECT_EQ(decoded.values,
            std::vector<float>(steps.values().data, steps.values().data + decoded.values.size()));
  return outputs().loss(decoded.view());
}

TEST(CodeSteps, BeginWithTheFormAsItIs) {
  const form::FormPtr start = nearest();
  const CodeSteps steps(start);
  EXPECT_EQ(form::decode(*start).values,
            std::vector<float>(steps.values().data, steps.values().data + 96 * 64));
  EXPECT_EQ(form::write(*steps.form()), form::write(*start));
}

TEST(CodeSteps, LowerTheLossBetterWithFewCodesThanWithNoneOrAll) {
  const double before = outputs().loss(form::decode(*nearest()).view());
  const double none = tuned({.moves = CodeMoves::kNone});
  const double few = tuned({.moves = CodeMoves::kLongest, .share = 0.02});
  EXPECT_LT(none, 0.95 * before);
  EXPECT_LT(few, 0.5 * none);
  EXPECT_GT(tuned({.moves = CodeMoves::kLongest, .share = 1}), before);
}

TEST(CodeSteps, WithFewCodesLeaveLessThanStraightThrough) {
  const double few = tuned({.moves = CodeMoves::kLongest, .share = 0.02});
  for (const double rate : {0.02, 0.05, 0.1}) {
    EXPECT_LT(few, tuned({.moves = CodeMoves::kStraightThrough, .weight_rate = rate})) << rate;
  }
}

TEST(CodeSteps, AreTheSameOnAnyNumberOfThreads) {
  for (const CodeMoves moves : {CodeMoves::kLongest, CodeMoves::kStraightThrough}) {
    const CodeStepOptions one = {.moves = moves, .threads = 1},
                          more = {.moves = moves, .threads = 3};
    EXPECT_EQ(tuned(one, nearest(), 4), tuned(more, nearest(), 4));
  }
}

TEST(CodeSteps, TakeLatticesAndCodebooksOfSeveralStages) {
  for (const char* e : {"lattice(e8, 2)", "lattice(pyramid, dim=8, bits=2, gain=3)",
                        "codebook(16, dim=4, stages=2)", "codebook(16, dim=5, group=row)"}) {
    const form::FormPtr start = nearest(e);
    const double before = outputs().loss(form::decode(*start).view());
    EXPECT_LT(tuned({.share = 0.02}, start, 6), before) << e;
  }
}

TEST(CodeSteps, RefuseOtherFormsOptionsAndGradients) {
  EXPECT_THROW(CodeSteps(nearest("uniform(2, group=16)")), Error);
  EXPECT_THROW(CodeSteps(nearest(), {.share = 0}), Error);
  EXPECT_THROW(CodeSteps(nearest(), {.entry_rate = -1}), Error);
  CodeSteps steps(nearest());
  EXPECT_THROW(steps.take(Matrix({64, 96}).view(), 1), Error);
  Matrix gradient({96, 64});
  gradient.values[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(steps.take(gradient.view(), 1), Error);
}

}  // namespace
}  // namespace pith::fit
