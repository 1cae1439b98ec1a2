// A block of one of GGML's types, taken apart: the scales of its groups and a code for each
// element.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "ggml_scales.h"
#include "pith/base/dtype.h"

namespace pith::form {

// An element of group g stands for (d * scale[g]) * level[code] - dmin * least[g]; scales are 1
// where a block has one group, and so are the leasts where elements have a zero point of any sign.
struct GgmlBlock {
  float d = 0, dmin = 0;  // values of f16
  std::array<int, 16> scale{}, least{};
  std::array<uint8_t, 256> codes{};
};

// What types are made of blocks like this.
struct GgmlBlockType {
  DType type;
  int block, group;     // elements
  bool zero;            // there is something to be taken away
  bool iq4;             // levels are kIq4; else integers
  int first, last;      // integers
  int most;             // of scales and leasts, which are integers; 0: there is one group
  ggml::Search search;  // for a group's scale
};

// Null for types that are none of these.
const GgmlBlockType* ggml_block_type(DType type);

// The scales of a block with little error; the codes stay. x: t.block elements, h: their
// importances.
void fit_block(const GgmlBlockType& t, const float* x, const float* h, ggml::Search search,
               GgmlBlock& block);
// The scale of group g alone, for its t.group elements; what groups share stays as it is.
void refit_group(const GgmlBlockType& t, const float* x, const float* h, ggml::Search search,
                 size_t g, GgmlBlock& block);

// In the layout of docs/forms.md.
void pack_block(const GgmlBlockType& t, const GgmlBlock& block, uint8_t* to);

}  // namespace pith::form
