#include "pith/form/ggml_tensor.h"

#include <gtest/gtest.h>

#include "ggml.h"
#include "pith/form/tensor.h"
#include "test_matrices.h"

namespace pith::form {
namespace {

std::optional<GgmlTensor> of(std::string_view expression, Shape shape = {3, 256}) {
  const FormPtr form = encode(parse(expression), noise(shape, 1).view());
  auto tensor = as_ggml(*form);
  if (tensor && is_ggml_type(tensor->type)) {
    EXPECT_EQ(decode(GgmlForm(shape, tensor->type, tensor->data)).values, decode(*form).values)
        << expression;
  }
  return tensor;
}

TEST(GgmlTensor, TheExpressionOfATypeIsThatOfItsTensors) {
  for (const DTypeInfo& type : all_dtypes()) {
    const auto expression = tensor_expression(type.dtype);
    ASSERT_EQ(expression.has_value(), is_tensor_type(type.dtype)) << type.name;
    if (!expression) continue;
    const Shape shape{2, 256};
    const Bytes zeros(2 * 256 / type.block_elements * type.block_bytes);
    EXPECT_EQ(*expression, from_tensor(type.dtype, shape, Buffer(zeros))->expression());
    EXPECT_EQ(parse(to_string(*expression)), *expression);
  }
}

TEST(GgmlTensor, HoldsWhatHasATypeOfItsOwn) {
  EXPECT_EQ(of("dense(f32)")->type, DType::kF32);
  EXPECT_EQ(of("dense(bf16)")->type, DType::kBF16);
  EXPECT_EQ(of("dense(f16)")->data.size(), 3 * 256 * 2u);
  EXPECT_EQ(of("ggml(q4_K)")->type, DType::kQ4_K);
}

TEST(GgmlTensor, UniformFormsBecomeBlocksOfTheSameNumbers) {
  EXPECT_EQ(of("uniform(4, group=32)")->type, DType::kQ4_0);
  EXPECT_EQ(of("uniform(3, group=32)")->type, DType::kQ4_0);
  EXPECT_EQ(of("uniform(2, group=64)")->type, DType::kQ4_0);
  EXPECT_EQ(of("uniform(5, group=row)")->type, DType::kQ5_0);
  EXPECT_EQ(of("uniform(6, group=128)")->type, DType::kQ8_0);
  EXPECT_EQ(of("uniform(7, group=tensor)")->type, DType::kQ8_0);
  EXPECT_EQ(of("uniform(4, group=32, zero=true)")->type, DType::kQ4_1);
  EXPECT_EQ(of("uniform(5, group=96, zero=true)")->type, DType::kQ5_1);
  EXPECT_EQ(of("uniform(2, group=32, grid=ternary)")->type, DType::kQ4_0);
  EXPECT_EQ(of("uniform(4, group=32)", {0, 64})->data.size(), 0u);
}

TEST(GgmlTensor, IsNothingWhereNumbersDoNotFit) {
  for (const char* e :
       {"uniform(4, group=16)", "uniform(4, group=48)", "uniform(4, group=32, scales=f32)",
        "uniform(6, group=32, zero=true)", "uniform(4, group=32, grid=nf4)", "sparse(10%)",
        "uniform(4, group=32) + sparse(1%)", "hadamard | uniform(4, group=32)"}) {
    EXPECT_FALSE(of(e)) << e;
  }
  EXPECT_FALSE(of("uniform(4, group=row)", {2, 40}));
}

TEST(GgmlTensor, ScalesOfOtherTypesFitWhereF16HasThem) {
  Matrix m({1, 32});
  for (size_t i = 0; i < 32; ++i) m.values[i] = 0.5f * (static_cast<float>(i % 16) - 8);
  const auto tensor = as_ggml(*encode(parse("uniform(4, group=32, scales=f32)"), m.view()));
  ASSERT_TRUE(tensor);
  EXPECT_EQ(decode(GgmlForm(m.shape, tensor->type, tensor->data)).values, m.values);
}

TEST(GgmlTensor, MatricesAreEncodedToAnyTarget) {
  const Matrix m = noise({2, 256}, 2);
  EXPECT_EQ(to_ggml(DType::kBF16, m.view()).size(), 1024u);
  EXPECT_EQ(to_ggml(DType::kQ6_K, m.view()).size(), 420u);
  EXPECT_TRUE(is_ggml_target(DType::kQ4_0));
  EXPECT_FALSE(is_ggml_target(DType::kIQ1_S));
  EXPECT_FALSE(is_ggml_target(DType::kF64));
  EXPECT_THROW(to_ggml(DType::kQ6_K, noise({2, 128}, 2).view()), Error);
}

}  // namespace
}  // namespace pith::form
