// Parts of a matrix with forms of their own, constants, and references to other tensors.
#include <gtest/gtest.h>

#include "test_matrices.h"

namespace pith::form {
namespace {

TEST(Tiles, EachPartHasItsForm) {
  const Matrix m = noise({8, 12}, 1);
  const FormPtr f = encoded(
      "tiles(part(dense(f32), rows=0..2), part(zeros, rows=2.., cols=0..-4), "
      "part(dense(f32), rows=2..99, cols=-4..))",
      m);
  const Matrix got = decode(*f);
  for (uint64_t r = 0; r < 8; ++r) {
    for (uint64_t c = 0; c < 12; ++c)
      EXPECT_EQ(got.view().row(r)[c], r >= 2 && c < 8 ? 0 : m.view().row(r)[c]) << r << ' ' << c;
  }
  expect_multiplies(*f);
}

TEST(Tiles, ManyPartsMultiplyInAnyRows) {
  const Matrix m = noise({150, 90}, 2);
  expect_multiplies(*encoded(
      "tiles(part(uniform(8), rows=0..33, cols=0..40), part(sparse(2:4), rows=0..33, cols=40..), "
      "part(hadamard(seed=1) | uniform(6), rows=33..140), part(lowrank(3), rows=140..))",
      m));
}

TEST(Tiles, RefusesWithThePlace) {
  const Matrix m = noise({8, 8}, 3);
  EXPECT_EQ(refusal("tiles(part(zeros, rows=0..4), part(zeros, rows=3..))", m),
            "line 1, column 31: tiles: this part overlaps part 1\n"
            "  tiles(part(zeros, rows=0..4), part(zeros, rows=3..))\n"
            "                                ^");
  EXPECT_NE(refusal("tiles(part(zeros, rows=0..4))", m).find("leave 32 of 64 elements out"),
            std::string::npos);
  EXPECT_NE(refusal("tiles(zeros)", m).find("takes part(form, rows=a..b, cols=a..b)"),
            std::string::npos);
  EXPECT_NE(refusal("tiles()", m).find("1 to 1024 parts, not 0"), std::string::npos);
  EXPECT_NE(refusal("tiles(part(zeros, rows=3))", m).find("`rows` must be a range a..b"),
            std::string::npos);
}

TEST(Tiles, RangesBeyondTheMatrixAreEmpty) {
  for (const Shape shape : {Shape{3, 4}, Shape{0, 4}, Shape{3, 0}}) {
    const FormPtr f = encoded("tiles(part(uniform(4), rows=0..100), part(sparse(5%), rows=100..))",
                              noise(shape, 4));
    EXPECT_EQ(decode(*f).values.size(), shape.size());
    EXPECT_EQ(decode(*read(write(*f), nullptr)).values, decode(*f).values);
  }
  const Matrix m = noise({3, 4}, 5);
  EXPECT_EQ(decode(*encoded("tiles(part(zeros, rows=0..-9223372036854775808), "
                            "part(dense, rows=-9223372036854775808..))",
                            m))
                .values,
            m.values);
}

TEST(Constant, IsTheMeanOrWhatIsSaid) {
  Matrix m({2, 2});
  m.values = {1, 2, 3, 6};
  EXPECT_EQ(decode(*encoded("constant", m)).values, (std::vector<float>(4, 3)));
  EXPECT_EQ(decode(*encoded("constant(-0.1)", m)).values, (std::vector<float>(4, -0.1f)));
  EXPECT_EQ(decode(*encoded("zeros", m)).values, (std::vector<float>(4, 0)));
  EXPECT_EQ(to_string(encoded("constant(0.1)", m)->expression()), "constant(0.1)");
  expect_multiplies(*encoded("constant(-0.1)", noise({70, 33}, 6)));
  EXPECT_NE(refusal("constant(1e300)", m).find("`value` must be a number from"), std::string::npos);
}

class References : public testing::Test {
 protected:
  Matrix base_ = noise({16, 64}, 7);
  FormPtr shared_ = encoded("uniform(4)", base_);
  Resolver resolver_ = [this](std::string_view name) { return name == "base" ? shared_ : nullptr; };

  std::string refused(std::string_view expression, const Matrix& m) {
    try {
      encode(parse(expression), m.view(), resolver_);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
};

TEST_F(References, ShareAndDelta) {
  Matrix tuned = base_;
  for (size_t i = 0; i < tuned.values.size(); ++i) tuned.values[i] += i % 2 ? 0.0005f : -0.0005f;
  const FormPtr same = encode(parse("ref(\"base\")"), base_.view(), resolver_);
  EXPECT_EQ(decode(*same).values, decode(*shared_).values);
  EXPECT_LT(bits(*same), 8 * 64u);

  const FormPtr delta = encode(parse("ref(\"base\") + uniform(2)"), tuned.view(), resolver_);
  EXPECT_LT(squared_error(*delta, tuned), squared_error("uniform(4)", tuned) / 3);
  expect_multiplies(*delta);

  const Bytes stored = write(*delta);
  EXPECT_EQ(bits(*delta), 8 * stored.size());
  const FormPtr again = read(stored, nullptr, resolver_);
  EXPECT_EQ(decode(*again).values, decode(*delta).values);
  EXPECT_EQ(to_string(again->expression()), to_string(delta->expression()));
}

TEST_F(References, NeedWhatTheyReferTo) {
  EXPECT_NE(
      refusal("ref(\"base\")", base_).find("ref(\"base\") needs the tensors that it is among"),
      std::string::npos);
  EXPECT_EQ(refused("zeros + ref(\"other\")", base_),
            "line 1, column 13: there is no tensor \"other\" to refer to\n"
            "  zeros + ref(\"other\")\n"
            "              ^");
  EXPECT_NE(
      refused("ref(\"base\")", noise({16, 63}, 8)).find("is 16 x 64, what refers to it 16 x 63"),
      std::string::npos);
  EXPECT_NE(refused("ref(base)", base_).find("`name` must be text in quotes"), std::string::npos);
  const Bytes stored = write(*encode(parse("ref(\"base\")"), base_.view(), resolver_));
  EXPECT_THROW(read(stored, nullptr), Error);
  // The scope of a resolver ends with its call.
  EXPECT_NE(refusal("ref(\"base\")", base_), "");
}

TEST_F(References, InACircleAreRefused) {
  const Bytes stored = write(*encode(parse("ref(\"base\")"), base_.view(), resolver_));
  int calls = 0;
  const Resolver reads = [&](std::string_view) {
    ++calls;
    return read(stored, nullptr, reads);
  };
  try {
    read(stored, nullptr, reads);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kData);
    EXPECT_NE(std::string(e.what()).find("refer on and on"), std::string::npos);
  }
  EXPECT_LT(calls, 100);
}

}  // namespace
}  // namespace pith::form
