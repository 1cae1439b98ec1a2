#include "pith/form/compose.h"

#include <gtest/gtest.h>

#include "pith/base/error.h"
#include "test_matrices.h"

namespace pith::form {
namespace {

TEST(Stack, GivesBackItsPartsAndDecodesToThemAll) {
  std::vector<FormPtr> parts;
  std::vector<float> all;
  for (int i = 0; i < 3; ++i) {
    const Matrix m = noise({5, 64}, 10 + i);
    parts.push_back(encode(parse(i == 1 ? "integer > rans" : "uniform(4)"), m.view()));
    const Matrix got = decode(*parts.back());
    all.insert(all.end(), got.values.begin(), got.values.end());
  }
  const FormPtr stack = stack_of(parts);
  EXPECT_EQ(decode(*stack).values, all);
  const Bytes written = write(*stack);
  const FormPtr again = read(written, nullptr);
  EXPECT_EQ(decode(*again).values, all);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(part_of_stack(*stack, i, 3), parts[i]);
    EXPECT_EQ(decode(*part_of_stack(*again, i, 3)).values, decode(*parts[i]).values);
  }
}

TEST(Stack, OneAloneIsItself) {
  const FormPtr one = encode(parse("uniform(4)"), noise({5, 64}, 1).view());
  EXPECT_EQ(stack_of({one}), one);
}

TEST(Stack, OtherFormsHaveNoParts) {
  const Matrix m = noise({6, 64}, 2);
  const auto none = [&](std::string_view expression, uint64_t parts) {
    return part_of_stack(*encode(parse(expression), m.view()), 0, parts) == nullptr;
  };
  EXPECT_TRUE(none("uniform(4)", 3));
  EXPECT_TRUE(none("tiles(part(uniform(4), rows=0..3), part(uniform(4), rows=3..))", 3));
  EXPECT_TRUE(none("tiles(part(uniform(4), rows=0..4), part(uniform(4), rows=4..))", 2));
  EXPECT_TRUE(none("tiles(part(uniform(4), cols=0..32), part(uniform(4), cols=32..))", 2));
  EXPECT_FALSE(none("tiles(part(uniform(4), rows=0..3), part(uniform(4), rows=3..))", 2));
}

TEST(Stack, WhatIsNoStackIsRefused) {
  const FormPtr wide = encode(parse("uniform(4)"), noise({5, 64}, 1).view());
  const FormPtr narrow = encode(parse("uniform(4)"), noise({5, 32}, 1).view());
  EXPECT_THROW(stack_of({}), Error);
  EXPECT_THROW(stack_of({wide, narrow}), Error);
  EXPECT_THROW(stack_of(std::vector<FormPtr>(1025, narrow)), Error);
}

}  // namespace
}  // namespace pith::form
