// Panels of codes: what is packed comes back, and products are those of the bytes' integers.
#include "panel.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <random>

#include "panel_kernel.h"
#include "pith/form/form.h"
#include "quantized_vectors.h"
#include "uniform.h"

namespace pith::form {
namespace {

Matrix random_matrix(Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Matrix m(shape);
  for (float& v : m.values) v = normal(random);
  return m;
}

TEST(Panel, GivesBackItsCodes) {
  std::mt19937 random(1);
  for (int bits = 1; bits <= 8; ++bits) {
    for (const uint64_t rows : {1, 3, 15, 16}) {
      for (const uint64_t cols : {1, 31, 32, 33, 100, 256}) {
        std::vector<uint8_t> codes(rows * cols);
        for (uint8_t& c : codes) c = static_cast<uint8_t>(random() % (1u << bits));
        std::vector<uint8_t> packed(rows * panel_row_bytes(cols, bits));
        pack_panel(codes.data(), cols, rows, cols, bits, packed.data());
        std::vector<uint8_t> chunks(panel_blocks(cols) * kChunks * kChunk);
        unpack_panel({packed.data(), bits, rows, cols}, chunks.data());
        for (uint64_t r = 0; r < rows; ++r) {
          for (uint64_t c = 0; c < cols; ++c) {
            ASSERT_EQ(chunks[chunk_index(r, c)], codes[r * cols + c])
                << bits << " bits, " << rows << " x " << cols;
          }
        }
      }
    }
  }
}

TEST(QuantizedVectors, AreNearAndSayWhatIsNotFinite) {
  Matrix x = random_matrix({3, 70}, 2);
  x.values[5] = 40;
  const Matrix near = quantize_vectors(x.view()).decoded();
  for (uint64_t v = 0; v < 3; ++v) {
    for (uint64_t c = 0; c < 70; ++c) {
      float most = 0;
      for (uint64_t i = c / 32 * 32; i < std::min<uint64_t>(c / 32 * 32 + 32, 70); ++i) {
        most = std::max(most, std::fabs(x.view().row(v)[i]));
      }
      EXPECT_LE(std::fabs(near.view().row(v)[c] - x.view().row(v)[c]), most / 253);
    }
  }
  x.values[69] = INFINITY;
  EXPECT_TRUE(std::isnan(quantize_vectors(x.view()).decoded().values[69]));
  EXPECT_FALSE(std::isnan(quantize_vectors(x.view()).decoded().values[0]));
  Matrix tiny({1, 32});
  tiny.values[0] = 1e-44f;
  for (const float v : quantize_vectors(tiny.view()).decoded().values)
    EXPECT_LE(std::fabs(v), 1e-43f);
}

class Products : public testing::TestWithParam<std::string> {};

// Against the decoded form times what the bytes stand for, in double.
TEST_P(Products, AreThoseOfTheDecodedForm) {
  const bool blocks = GetParam().starts_with("ggml");  // of 256 at most
  for (const Shape shape :
       blocks ? std::vector<Shape>{{16, 256}, {37, 512}, {1, 2304}}
              : std::vector<Shape>{{16, 32}, {5, 7}, {1, 1}, {33, 100}, {40, 1100}, {17, 4096}}) {
    const Matrix w = random_matrix(shape, 3);
    const FormPtr form = encode(parse(GetParam()), w.view());
    const Matrix decoded = decode(*form);
    for (const uint64_t batch : {1, 2, 65}) {
      const Matrix x = random_matrix({batch, shape.cols}, 4);
      const Matrix near = quantize_vectors(x.view()).decoded();
      Matrix y;
      apply(*form, x.view(), y);
      for (uint64_t b = 0; b < batch; ++b) {
        for (uint64_t r = 0; r < shape.rows; ++r) {
          double sum = 0, size = 1e-6;
          for (uint64_t c = 0; c < shape.cols; ++c) {
            const double term = double{decoded.view().row(r)[c]} * near.view().row(b)[c];
            sum += term;
            size += std::fabs(term);
          }
          ASSERT_NEAR(y.values[b * shape.rows + r], sum, 1e-4 * size)
              << shape.rows << " x " << shape.cols << ", row " << r << ", vector " << b;
        }
      }
    }
  }
}

TEST_P(Products, AreTheSameOnEveryInstructionSetAndForAnyRowsAtATime) {
  const Shape shape{37, GetParam().starts_with("ggml") ? uint64_t{512} : uint64_t{150}};
  const Matrix w = random_matrix(shape, 5), x = random_matrix({5, shape.cols}, 6);
  const FormPtr form = encode(parse(GetParam()), w.view());
  Matrix expected, y;
  apply(*form, x.view(), expected);
  Matrix one({1, shape.cols});
  for (uint64_t b = 0; b < 5; ++b) {
    std::ranges::copy(x.view().row(b), one.values.begin());
    apply(*form, one.view(), y);
    for (uint64_t r = 0; r < shape.rows; ++r) {
      ASSERT_EQ(y.values[r], expected.values[b * shape.rows + r]) << "alone, vector " << b;
    }
  }
  const int64_t targets = hwy::SupportedTargets();
  for (int64_t left = targets; left != 0; left &= left - 1) {
    const int64_t target = left & -left;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(target);
    Activations activations(x.view());
    form->prepare(activations);
    for (uint64_t r = 0; r < shape.rows; ++r) {
      std::array<float, 5> row;
      form->multiply(activations, r, r + 1, row.data(), 1);
      for (uint64_t b = 0; b < 5; ++b) {
        if (target == HWY_SSSE3 || target == HWY_SSE4) {  // no fused multiplication there
          EXPECT_NEAR(row[b], expected.values[b * shape.rows + r], 1e-4);
        } else {
          EXPECT_EQ(row[b], expected.values[b * shape.rows + r]) << hwy::TargetName(target);
        }
      }
    }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

std::string name_of(const testing::TestParamInfo<std::string>& info) {
  std::string name;
  for (const char c : info.param) {
    if (std::isalnum(static_cast<uint8_t>(c))) name += c;
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Ggml, Products,
                         testing::Values("ggml(q4_0)", "ggml(q4_1)", "ggml(q5_0)", "ggml(q5_1)",
                                         "ggml(q8_0)", "ggml(q2_K)", "ggml(q3_K)", "ggml(q4_K)",
                                         "ggml(q5_K)", "ggml(q6_K)", "ggml(iq4_nl)", "ggml(iq4_xs)",
                                         "ggml(mxfp4)", "ggml(tq1_0)", "ggml(tq2_0)"),
                         name_of);

INSTANTIATE_TEST_SUITE_P(
    Uniform, Products,
    testing::Values(
        "uniform(8, group=32)", "uniform(7, group=32)", "uniform(6, group=16)",
        "uniform(5, group=32, zero=true)", "uniform(4)", "uniform(3, group=16)",
        "uniform(2, group=16, zero=true)", "uniform(1, group=32, zero=true)",
        "uniform(8, group=row)", "uniform(4, group=tensor, zero=true)", "uniform(4, group=96)",
        "uniform(2, grid=ternary)", "uniform(1, grid=binary)", "uniform(4, grid=nf4)",
        "uniform(4, grid=fp4, group=32, scales=f8_e8m0)", "uniform(3, grid=gaussian)",
        "uniform(4, grid=kmeans)", "uniform(4, group=32, zero=true, scales=uniform(6, group=8))",
        "uniform(3, group=16, scales=uniform(3, zero=true, group=16, scales=uniform(8)))",
        "uniform(4, grid=fp4, group=16, scales=uniform(8, grid=fp8, group=row))",
        "uniform(4, group=32) > rans", "uniform(8, group=row) > rans",
        "uniform(3, grid=gaussian, group=16) > rans"),
    name_of);

TEST(PanelCodes, TakeWhatTheirEntropyIs) {
  const Matrix w = random_matrix({64, 4096}, 8);
  const FormPtr form = encode(parse("uniform(4, group=row) > rans"), w.view());
  // The codes of 4 bits and a scale for rows: the entropy of a normal variable in such steps.
  const Matrix plain = decode(*encode(parse("uniform(4, group=row)"), w.view()));
  EXPECT_EQ(decode(*form).values, plain.values);
  std::map<float, double> counts;
  double entropy = 0;
  for (uint64_t r = 0; r < 64; ++r) {
    counts.clear();
    for (const float v : plain.view().row(r)) counts[v] += 1;
    for (const auto& [value, count] : counts) entropy -= count * std::log2(count / 4096);
  }
  EXPECT_LT(static_cast<double>(bits(*form)), entropy * 1.02 + 64 * 16 + 64 * 64);
  EXPECT_LT(static_cast<double>(bits(*form)), 3.7 * 64 * 4096);
}

TEST(PanelCodes, OfDamagedStreamsAreRefusedWhenTheyAreRead) {
  const Matrix w = random_matrix({20, 300}, 9);
  const FormPtr form = encode(parse("uniform(3, group=row) > rans"), w.view());
  const Bytes stored = write(*form);
  int refused = 0;
  for (size_t at = 0; at < stored.size(); ++at) {
    Bytes damaged = stored;
    damaged[at] ^= 0x41;
    try {
      decode(*read(damaged, nullptr));
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kData);
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(Products, OfWhatIsNotFiniteAreNotEither) {
  const Matrix w = random_matrix({16, 64}, 7);
  const FormPtr form = encode(parse("uniform(4)"), w.view());
  Matrix x({2, 64}), y;
  x.values[3] = NAN;
  apply(*form, x.view(), y);
  EXPECT_TRUE(std::isnan(y.values[0]));
  EXPECT_EQ(y.values[16], 0);
}

}  // namespace
}  // namespace pith::form
