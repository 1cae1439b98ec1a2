// trellis(bits, states): each element's value is computed from a window of the bits around it, so
// that neighbours share bits and all values of a row are chosen together: trellis-coded
// quantization (Marcellin and Fischer 1990) with the bit-shift trellis and computed codes of QTIP
// (Tseng et al. 2024), which need no codebook.
#pragma once

#include <span>
#include <vector>

#include "group_scales.h"
#include "tiled_form.h"

namespace pith::form {

struct TrellisParameters {
  int bits = 2;     // of an element, 1 to 6
  int window = 12;  // bits that an element is computed from: 2^window states
  ScaleGroups scales{ScaleGroups::kRow};
};

// Of each row, from whole bytes on: the `window` bits of the first element, then `bits` more for
// each next, highest bits first. Element = scale * trellis_value(its window).
class TrellisForm final : public TiledForm {
 public:
  TrellisForm(Shape shape, const TrellisParameters& parameters, Buffer scales, Buffer codes);

  Expression expression() const override;
  std::string_view kind() const override { return "trellis"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

  const TrellisParameters& parameters() const { return parameters_; }
  const GroupScales& group_scales() const { return scales_; }
  // The windows of a row's elements.
  void get_windows(uint64_t row, uint16_t* windows) const;

 protected:
  void decode_tile(uint64_t row, uint64_t begin, uint64_t n, float* out) const override;
  uint64_t tile_unit() const override { return 16; }
  const GroupScales& scales() const override { return scales_; }

 private:
  TrellisParameters parameters_;
  GroupScales scales_;
  Buffer codes_;
};

uint64_t trellis_row_bytes(const TrellisParameters& p, uint64_t cols);
// The windows of a row, as its bits; codes: zeros before.
void put_windows(const TrellisParameters& p, std::span<const uint16_t> windows, uint8_t* codes);

}  // namespace pith::form
