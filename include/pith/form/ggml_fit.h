// Blocks of GGML's types in the making, for fitters that choose their scales and codes themselves:
//
//   GgmlFit fit(parse("ggml(q4_K)"), weights);
//   GgmlFit::Block block = fit.block(elements, importance);         // scales of all its groups
//   fit.refit(block, g, elements of group g, importance);           // later, of one of them
//   fit.put(row, i, block, codes);    // each from fit.code(element, fit.scale(block, g))
//   const FormPtr form = fit.form();
//
// encode() is this with each element rounded to the nearest by itself.
#pragma once

#include <array>
#include <memory>
#include <span>

#include "pith/form/form.h"
#include "pith/form/uniform_fit.h"

namespace pith::form {

struct GgmlBlockType;

class GgmlFit {
 public:
  // What the groups of a block share, and the integers by which they differ.
  struct Block {
    float d = 0, dmin = 0;  // values of f16
    std::array<int, 16> scale{}, least{};
  };

  // Whether the expression is one of these types.
  static bool fits(const Expression& expression);

  // Types of integers (Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K) and IQ4_NL and IQ4_XS. Throws
  // ErrorKind::kUsage for another expression, and rows that are not whole blocks, kData for an
  // element of the matrix, which is not kept, that is NaN or infinite.
  GgmlFit(const Expression& expression, MatrixView matrix);
  GgmlFit(GgmlFit&&) noexcept;
  ~GgmlFit();

  Shape shape() const;
  uint64_t block_length() const;  // 32 or 256 columns,
  uint64_t group_length() const;  // of which 16 or 32 share a scale

  // The best scales found: of least squared error, each element's times its importance (none: all
  // are equal). Elements are finite; importances as well, not negative, and at most about 1.
  Block block(std::span<const float> w, std::span<const float> importance = {}) const;
  // The scale of group g for its elements as they are now. What the block's groups share stays.
  void refit(Block& block, uint64_t g, std::span<const float> w,
             std::span<const float> importance = {}) const;

  // The nearest value that d and dmin can have.
  float rounded(float shared) const;
  // Whether the integers are in the type's range.
  bool holds(const Block& block) const;

  // Element = scale * level[code] + zero, as it will be read. Codes count levels upwards from 0.
  UniformScale scale(const Block& block, uint64_t g) const;
  uint8_t code(float w, UniformScale scale) const;
  float value(uint8_t code, UniformScale scale) const;

  // codes: block_length() of them. Threads may put blocks of their own.
  void put(uint64_t row, uint64_t block, const Block& scales, const uint8_t* codes);
  // After all blocks.
  FormPtr form();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pith::form
