// Forms whose elements are decoded in tiles: runs of a row that fit the first-level cache, and are
// multiplied from there by every vector of the batch, so that no decoded row goes through memory.
#pragma once

#include "group_scales.h"
#include "pith/form/form.h"

namespace pith::form {

class TiledForm : public Form {
 public:
  using Form::Form;

  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;

 protected:
  // Elements begin <= column < begin + n of a row, before they are scaled; begin is a multiple of
  // tile_unit().
  virtual void decode_tile(uint64_t row, uint64_t begin, uint64_t n, float* out) const = 0;
  virtual uint64_t tile_unit() const { return 1; }
  virtual const GroupScales& scales() const = 0;
};

}  // namespace pith::form
