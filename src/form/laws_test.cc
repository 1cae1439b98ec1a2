// The laws of the algebra, on random expressions and matrices.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <sstream>

#include "laws_combinators.h"
#include "pith/form/form.h"
#include "random_codebook.h"
#include "test_matrices.h"

namespace pith::form {
namespace {

#ifdef __SANITIZE_ADDRESS__  // which take twenty times as long
constexpr int kExpressions = 2000;
#else
constexpr int kExpressions = 10000;
#endif

template <class T>
T pick(std::initializer_list<T> choices) {
  return *rc::gen::elementOf(std::vector<T>(choices));
}

int64_t number(int64_t least, int64_t most) { return *rc::gen::inRange<int64_t>(least, most + 1); }

Expression random_uniform() {
  const auto grid = pick<std::string>(
      {"uniform", "positive", "gaussian", "kmeans", "nf4", "fp4", "fp8", "ternary", "binary"});
  const int64_t own = grid == "fp8"                    ? 8
                      : grid == "ternary"              ? 2
                      : grid == "binary"               ? 1
                      : grid == "nf4" || grid == "fp4" ? 4
                                                       : 0;
  std::vector<Argument> args = {
      {"", Value(own ? own : number(grid[0] == 'g' ? 2 : 1, grid[0] == 'g' ? 5 : 8))}};
  const int64_t group = number(0, 5);
  switch (group) {
    case 0:
      args.push_back({"group", Value(number(1, 100))});
      break;
    case 1:
      args.push_back({"group", Value(Expression::call("row"))});
      break;
    case 2:
      args.push_back({"group", Value(Expression::call("tensor"))});
      break;
    case 3:
      args.push_back({"group", Value(pick<int64_t>({16, 32}))});
      break;
    default:
      break;
  }
  const bool zero = number(0, 2) == 0;
  if (zero) args.push_back({"zero", Value(Expression::call("true"))});
  args.push_back({"grid", Value(Expression::call(grid))});
  const auto scales = pick<std::string>({"f32", "f16", "bf16", "f8_e8m0"});
  if (group != 2 && number(0, 4) == 0) {
    args.push_back({"scales", Value(random_uniform())});
  } else if (!zero || scales != "f8_e8m0") {
    args.push_back({"scales", Value(Expression::call(scales))});
  }
  return Expression::call("uniform", std::move(args));
}

Expression random_integers() {
  std::vector<Argument> args = {{"states", Value(pick<int64_t>({1, 4, 8, 16, 64, 256}))}};
  if (number(0, 1)) {
    args.push_back({"bits", Value(pick<double>({0.5, 2, 3.5, 9}))});
  } else {
    args.push_back({"step", Value(pick<double>({1e-4, 0.01, 0.05, 3}))});
  }
  return Expression::coder(Expression::call("integer", std::move(args)), Expression::call("rans"));
}

Expression random_form(int depth);

// Over any pattern and, at depth, values of any form.
Expression random_sparse(int depth) {
  std::vector<Argument> args;
  const int64_t m = number(1, 70);
  const auto share = [&] {
    args.push_back({"", Value(Percent{static_cast<double>(number(0, 100))})});
  };
  switch (number(0, 3)) {
    case 0:
      args.push_back({"", Value(Ratio{number(1, m), m})});
      break;
    case 1:
      share();
      args.push_back({"block", Value(number(1, 20))});
      args.push_back({"height", Value(number(1, 4))});
      break;
    case 2:
      share();
      args.push_back({"pattern", Value(Expression::call(
                                     pick<std::string>({"csr", "bitmap", "rows", "columns"})))});
      break;
    default:
      share();
  }
  if (depth > 0 && number(0, 2) == 0) {
    args.push_back({"values", Value(random_form(depth - 1))});
  } else if (number(0, 1) == 0) {
    args.push_back({"values", Value(Expression::call(pick<std::string>({"f32", "f16", "bf16"})))});
  }
  return Expression::call("sparse", std::move(args));
}

Expression random_form(int depth) {
  if (number(0, 6) == 0) return random_codes();
  if (number(0, 9) == 0) return random_integers();
  if (number(0, 8) == 0) {
    const auto type = Expression::call(pick<std::string>({"f16", "bf16"}));
    return Expression::coder(Expression::call("dense", {{"", Value(type)}}),
                             Expression::call("exponent"));
  }
  switch (number(0, depth > 0 ? 9 : 3)) {
    case 0:
      return Expression::call(
          "dense", {{"", Value(Expression::call(pick<std::string>({"f32", "f16", "bf16"})))}});
    case 1:
      return random_sparse(depth);
    case 2: {
      const int64_t m = number(1, 9);
      return Expression::call("sparse", {{"", Value(Ratio{number(1, m), m})}});
    }
    case 3:
      if (number(0, 2) != 0) return random_uniform();
      return Expression::coder(random_uniform(), Expression::call("rans"));
    case 4:
      return Expression::sum({random_form(depth - 1), random_form(depth - 1)});
    case 5:
      return Expression::basis(Expression::call("hadamard", {{"seed", Value(number(0, 3))}}),
                               random_form(depth - 1));
    case 6:
      return Expression::basis(Expression::call("scale"), random_form(depth - 1));
    case 7:
    case 8:
      return RandomCombinator([=] { return random_form(depth - 1); })();
    default:
      return Expression::call("lowrank",
                              {{"", Value(number(1, 4))}, {"factors", Value(random_form(0))}});
  }
}

Matrix random_matrix(Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.05f);
  Matrix m(shape);
  const uint32_t kind = random() % 4;
  for (float& v : m.values) {
    v = normal(random);
    if (kind == 1 && random() % 3 != 0) v = 0;
    if (kind == 2 && random() % 50 == 0) v *= 100;
    if (kind == 3) v = 0.25f;
  }
  return m;
}

// Rows of the product, summed in double.
std::vector<double> product(const Matrix& w, MatrixView x, double& scale) {
  std::vector<double> y(x.shape.rows * w.shape.rows);
  scale = 1e-6;
  for (uint64_t b = 0; b < x.shape.rows; ++b) {
    double largest = 0;
    for (const float v : x.row(b)) largest = std::max(largest, std::fabs(double{v}));
    for (uint64_t r = 0; r < w.shape.rows; ++r) {
      double sum = 0, size = 0;
      for (uint64_t c = 0; c < w.shape.cols; ++c) {
        sum += double{w.view().row(r)[c]} * x.row(b)[c];
        size += std::fabs(w.view().row(r)[c]) * largest;
      }
      y[b * w.shape.rows + r] = sum;
      scale = std::max(scale, size);
    }
  }
  return y;
}

// Vectors that are exact as bytes: kernels of small integers round others.
Matrix random_bytes(Shape shape) {
  std::mt19937 random(7);
  Matrix m(shape);
  for (float& v : m.values) v = static_cast<float>(static_cast<int>(random() % 255) - 127);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t c = 0; c < shape.cols; c += 32) m.row(r)[c] = 127;  // so that the scale is 1
  }
  return m;
}

// Whether such a kernel is behind something that changes its inputs, and then rounds them: by how
// much the product is off depends on what stands between, and the kernels have tests of their own.
bool rounds_inputs(const Expression& expression) {
  const std::string text = to_string(expression);
  const auto has = [&](std::string_view part) { return text.find(part) != text.npos; };
  const bool changed = has(" | ") || has(" * ") || has("lowrank") || has("tiles") ||
                       has("values=") || has("transpose");
  return changed && (has("uniform") || has("ggml"));
}

// Kernels round levels that are no integers to 16 bits of the largest, which may not even occur.
double rounding_of_levels(const Expression& expression) {
  const std::string text = to_string(expression);
  for (const char* grid : {"kmeans", "gaussian", "nf4"}) {
    if (text.find(grid) != text.npos) return 0.02;
  }
  return 1e-4;
}

struct Case {
  FormPtr form;
  Matrix matrix;
};

Expression random_ggml() {
  return Expression::call(
      "ggml", {{"", Value(Expression::call(pick<std::string>(
                        {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_K", "q3_K", "q4_K", "q5_K",
                         "q6_K", "iq4_nl", "iq4_xs", "mxfp4", "tq1_0", "tq2_0"})))}});
}

// Rows of whole blocks, by itself or in an expression.
Case random_blocks() {
  const Shape shape{static_cast<uint64_t>(number(0, 4)), static_cast<uint64_t>(256 * number(0, 2))};
  Case c;
  c.matrix = random_matrix(shape, static_cast<uint32_t>(number(0, 1 << 30)));
  const Expression blocks = random_ggml();
  c.form =
      encode(number(0, 1) ? blocks : Expression::sum({random_form(1), blocks}), c.matrix.view());
  return c;
}

Case random_case() {
  if (number(0, 15) == 0) return random_blocks();
  const Shape shape{static_cast<uint64_t>(number(0, 6)), static_cast<uint64_t>(number(0, 150))};
  Case c;
  c.matrix = random_matrix(shape, static_cast<uint32_t>(number(0, 1 << 30)));
  const Expression expression = random_form(3);
  RC_LOG() << to_string(expression) << " of " << shape.rows << " x " << shape.cols << '\n';
  c.form = encode(expression, c.matrix.view());
  return c;
}

void laws_hold(const Case& c) {
  const Form& f = *c.form;
  const Matrix decoded = decode(f);
  RC_ASSERT(f.shape() == c.matrix.shape);

  const Bytes stored = write(f);
  RC_ASSERT(bits(f) == 8 * stored.size());
  const FormPtr again = read(stored, nullptr);
  RC_ASSERT(decode(*again).values == decoded.values);
  RC_ASSERT(write(*again) == stored);

  const Expression printed = f.expression();
  RC_ASSERT(again->expression() == printed);
  RC_ASSERT(parse(to_string(printed)) == printed);
  // What a form says of itself makes it again.
  RC_ASSERT(encode(printed, c.matrix.view())->expression() == printed);

  const uint64_t rows = f.shape().rows,
                 first = static_cast<uint64_t>(number(0, static_cast<int64_t>(rows)));
  const uint64_t last =
      static_cast<uint64_t>(number(static_cast<int64_t>(first), static_cast<int64_t>(rows)));
  std::vector<float> some((last - first) * f.shape().cols);
  f.decode(first, last, some.data());
  RC_ASSERT(std::equal(some.begin(), some.end(),
                       decoded.values.begin() + static_cast<int64_t>(first * f.shape().cols)));

  const Matrix x = random_bytes({static_cast<uint64_t>(number(1, 3)), f.shape().cols});
  Matrix y, y2;
  apply(f, x.view(), y, 1);
  apply(f, x.view(), y2, 2);
  // As bits: sums that overflow on their way are no number.
  const auto bits = [](float v) { return std::bit_cast<uint32_t>(v); };
  RC_ASSERT(std::ranges::equal(y.values, y2.values, {}, bits, bits));
  double scale = 0;
  const std::vector<double> expected = product(decoded, x.view(), scale);
  for (size_t i = 0; i < expected.size(); ++i) {
    RC_ASSERT(rounds_inputs(printed) ||
              std::fabs(y.values[i] - expected[i]) <= rounding_of_levels(printed) * scale);
  }
}

TEST(Laws, HoldForRandomExpressions) {
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = kExpressions;
  const auto result = rc::detail::checkTestable([] { laws_hold(random_case()); },
                                                rc::detail::TestMetadata(), params);
  std::ostringstream text;
  rc::detail::printResultMessage(result, text);
  ASSERT_TRUE(result.is<rc::detail::SuccessResult>()) << text.str();
}

RC_GTEST_PROP(Laws, DamageIsAnErrorOrAForm, ()) {
  const Case c = random_case();
  Bytes stored = write(*c.form);
  if (number(0, 1)) {
    stored.resize(static_cast<size_t>(number(0, static_cast<int64_t>(stored.size()) - 1)));
  } else {
    stored[static_cast<size_t>(number(0, static_cast<int64_t>(stored.size()) - 1))] ^=
        static_cast<uint8_t>(1 << number(0, 7));
  }
  try {
    const FormPtr form = read(stored, nullptr);
    if (form->shape() == c.form->shape()) decode(*form);
    to_string(form->expression());
  } catch (const Error& e) {
    RC_LOG() << e.what();
    RC_ASSERT(e.kind() == ErrorKind::kData);
  }
}

}  // namespace
}  // namespace pith::form
