// Sparse forms and compositions of parts that were fitted beforehand.
#include "pith/form/sparse_fit.h"

#include <gtest/gtest.h>

#include "pith/form/compose.h"
#include "test_matrices.h"

namespace pith::form {
namespace {

template <class Function>
std::string why(const Function& function) {
  try {
    function();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

std::vector<uint8_t> every_other(Shape shape) {
  std::vector<uint8_t> keep(shape.size());
  for (uint64_t r = 0; r < shape.rows; ++r) {
    for (uint64_t c = 0; c < shape.cols; ++c) keep[r * shape.cols + c] = c % 2;
  }
  return keep;
}

TEST(SparseFit, KeepsWhatItIsTold) {
  for (const char* text : {"sparse(50%)", "sparse(50%, pattern=csr)", "sparse(2:4)", "sparse(1:2)",
                           "sparse(2:4, values=f32)", "sparse(4:8)"}) {
    const Matrix m = noise({13, 72}, 1);
    const auto keep = every_other(m.shape);
    const SparseFit fit(parse(text), m.shape, keep);
    const FormPtr form = fit.form(m.view());
    const Matrix got = decode(*form);
    for (size_t i = 0; i < keep.size(); ++i) {
      EXPECT_NEAR(got.values[i], keep[i] ? m.values[i] : 0, 2e-3) << text;
    }
    EXPECT_EQ(form->expression(), encoded(text, m)->expression());
    const Matrix values = fit.gather(m.view());
    EXPECT_EQ(values.shape, fit.values_shape());
    EXPECT_EQ(values.values[0], m.values[1]);
    EXPECT_EQ(decode(*fit.form(encode(fit.values(), values.view()))).values, got.values);
    const Bytes stored = write(*form);
    EXPECT_EQ(decode(*read(stored, nullptr)).values, got.values);
  }
}

TEST(SparseFit, OfTheLargestIsWhatEncodeMakes) {
  const Matrix m = noise({9, 50}, 2);
  for (const char* text : {"sparse(30%)", "sparse(3%)", "sparse(2:4)", "sparse(1:8)",
                           "sparse(2:7, values=uniform(4))", "sparse(0%)", "sparse(100%)"}) {
    const FormPtr wanted = encoded(text, m);
    const Matrix decoded = decode(*wanted);
    std::vector<uint8_t> keep;
    for (const float v : decoded.values) keep.push_back(v != 0);
    if (std::string_view(text).find("uniform") != std::string_view::npos) {
      const Matrix plain = decode(*encoded("sparse(2:7, values=f32)", m));
      for (size_t i = 0; i < keep.size(); ++i) keep[i] = plain.values[i] != 0;
    }
    EXPECT_EQ(write(*SparseFit(parse(text), m.shape, keep).form(m.view())), write(*wanted)) << text;
  }
}

TEST(SparseFit, KeepsWholeBlocks) {
  const Matrix m = noise({13, 96}, 4);
  std::vector<uint8_t> keep(m.shape.size());
  for (uint64_t i = 0; i < keep.size(); ++i) keep[i] = i / 16 % 3 == 1;
  // Groups of 16 codes are a block each, though several share a line.
  for (const char* text : {"sparse(33%, block=16, values=f32)", "sparse(33%, block=8, values=f32)",
                           "sparse(33%, block=16, values=uniform(8, group=16))"}) {
    const SparseFit fit(parse(text), m.shape, keep);
    const FormPtr form = fit.form(m.view());
    const Matrix got = decode(*form);
    for (size_t i = 0; i < keep.size(); ++i) {
      EXPECT_NEAR(got.values[i], keep[i] ? m.values[i] : 0, 0.02) << text;
    }
    EXPECT_EQ(decode(*fit.form(encode(fit.values(), fit.gather(m.view()).view()))).values,
              got.values);
    EXPECT_EQ(decode(*read(write(*form), nullptr)).values, got.values);
  }
}

TEST(SparseFit, RefusesChoicesThatDoNotFit) {
  const Matrix m = noise({4, 8}, 3);
  std::vector<uint8_t> keep = every_other(m.shape);
  EXPECT_EQ(why([&] {
              SparseFit(parse("sparse(2:4)"), {4, 4}, keep);
            }),
            "sparse: a choice of elements that does not fit `sparse(2:4)`");
  keep[0] = 1;
  EXPECT_EQ(why([&] { SparseFit(parse("sparse(2:4)"), m.shape, keep); }),
            "sparse: a choice of elements that does not fit `sparse(2:4)`");
  EXPECT_EQ(why([&] { SparseFit(parse("sparse(50%)"), m.shape, keep); }), "");
  EXPECT_NE(why([&] {
              SparseFit(parse("sparse(50%, block=4, height=2)"), m.shape, keep);
            }).find("one by one"),
            std::string::npos);
  for (const char* text : {"sparse(50%, block=4)", "sparse(50%, block=3)"}) {
    EXPECT_NE(why([&] { SparseFit(parse(text), m.shape, keep); }).find("does not fit"),
              std::string::npos);
  }
  EXPECT_NE(why([] { sparse_options(parse("dense(f16)")); }).find("`dense(f16)` is no sparse form"),
            std::string::npos);
  const SparseFit fit(parse("sparse(50%)"), m.shape, keep);
  EXPECT_EQ(why([&] { fit.form(encoded("dense(f16)", m)); }), "sparse: values of another shape");
  EXPECT_EQ(why([&] { fit.gather(noise({4, 7}, 1).view()); }), "sparse: values of another shape");
  Matrix bad = m;
  bad.values[5] = NAN;
  EXPECT_NE(why([&] { fit.form(bad.view()); }).find("sparse"), std::string::npos);
}

TEST(Compose, SumsAreFlat) {
  const Matrix a = noise({5, 9}, 1), b = noise({5, 9}, 2), c = noise({5, 9}, 3);
  const FormPtr x = encoded("dense(f32)", a), y = encoded("dense(f16)", b),
                z = encoded("dense(bf16)", c);
  EXPECT_EQ(sum_of({x}), x);
  const FormPtr sum = sum_of({sum_of({x, y}), z});
  EXPECT_EQ(to_string(sum->expression()), "dense(f32) + dense(f16) + dense(bf16)");
  const Matrix got = decode(*sum);
  for (size_t i = 0; i < 45; ++i) {
    EXPECT_NEAR(got.values[i], a.values[i] + b.values[i] + c.values[i], 0.02);
  }
  EXPECT_EQ(write(*read(write(*sum), nullptr)), write(*sum));
  EXPECT_NE(why([&] { sum_of({}); }), "");
  EXPECT_NE(why([&] { sum_of({x, encoded("dense(f32)", noise({9, 5}, 1))}); }), "");
}

TEST(Compose, FactorsMeet) {
  const Matrix a = noise({5, 3}, 1), b = noise({3, 9}, 2);
  const FormPtr left = encoded("dense(f16)", a), right = encoded("dense(f16)", b);
  EXPECT_EQ(to_string(lowrank_of(left, right)->expression()), "lowrank(3, factors=dense(f16))");
  EXPECT_EQ(decode(*lowrank_of(left, right)).values, decode(*product_of({left, right})).values);
  EXPECT_NE(why([&] { lowrank_of(right, left); }), "");
  EXPECT_NE(why([&] { lowrank_of(left, encoded("dense(f32)", b)); }), "");
  EXPECT_NE(why([&] { product_of({left}); }), "");
}

}  // namespace
}  // namespace pith::form
