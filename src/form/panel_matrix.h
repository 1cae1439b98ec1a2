// Codes in panels with their levels, scales and zero points: what uniform forms and GGML's blocks
// are when they run.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "group_floats.h"
#include "panel_codes.h"
#include "panel_kernel.h"
#include "pith/form/activations.h"
#include "pith/form/form.h"

namespace pith::form {

// Element = scale * level[code] (+ zero).
class PanelMatrix {
 public:
  // group: columns that share a scale; as many as there are, or more, for one group a row. codes:
  // by panel.h; ErrorKind::kData unless they have their size. levels: 2^bits of them.
  PanelMatrix(Shape shape, int bits, std::vector<float> levels, uint64_t group, PanelCodes codes,
              GroupFloats scales, GroupFloats zeros = {});

  Shape shape() const { return shape_; }
  const PanelCodes& packed() const { return codes_; }
  const std::vector<float>& levels() const { return levels_; }
  // The codes of a row, one a byte.
  void codes(uint64_t row, uint8_t* out) const;
  // Of the group of an element; without zero points 0 is the second.
  std::array<float, 2> scale_and_zero(uint64_t row, uint64_t col) const;

  // Whether multiply() is there: for groups of 16, of multiples of 32 or of whole rows, and levels
  // that are integers or at most 16, of which those that are no integers are rounded to 16 bits of
  // the largest. Its inputs are quantized to bytes.
  bool multiplies() const { return multiplies_; }
  void multiply(const QuantizedVectors& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const;

  // Whether add_rows() is there: for codes that are not entropy-coded, stand for neighbouring
  // integers, and have groups of multiples of 16 or of whole rows.
  bool adds_rows() const { return adds_rows_; }
  // As Form::add_rows(); code_rows.h says how near, and when it is false.
  bool add_rows(const RowSums& sums) const;
  void fetch() const;

  void decode(uint64_t first, uint64_t last, float* out) const;
  // out[column][16] for the rows of a panel, columns `first` and on. There must be room for n
  // columns rounded up to whole blocks; those beyond n are left undefined.
  void columns(uint64_t panel, uint64_t first, uint64_t n, float* out) const;

 private:
  class Floats;

  void set_levels();
  // What the groups multiply that the blocks' halves or wholes belong to; in `room`, if these are
  // floats.
  KernelScales values(const GroupFloats& floats, uint64_t panel, uint64_t first_block,
                      uint64_t last_block, Floats& groups, float* room) const;
  void expand(const GroupFloats& floats, uint64_t panel, uint64_t first_block, uint64_t last_block,
              Floats& groups, float* out) const;

  Shape shape_;
  int bits_;
  std::vector<float> levels_;
  uint64_t group_;
  PanelCodes codes_;
  GroupFloats scales_, zeros_;
  bool multiplies_ = false, adds_rows_ = false, spaced_ = false;
  bool bytes_ = false;  // the kernel reads small scales of scales as they lie
  CodeLevels kernel_levels_;
};

}  // namespace pith::form
