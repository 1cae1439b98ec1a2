// lattice(e8, bits): vectors of eight neighbours as points of the lattice E8, two bits an element
// from one stage of 16-bit codes, more from further stages of what is left (QuIP#, Tseng et al.
// 2024), and an odd bit from a last stage of 8-bit codes.
#pragma once

#include <vector>

#include "lattice.h"

namespace pith::form {

struct E8Parameters {
  uint64_t bits = 2;  // 1 to 8
  ScaleGroups scales = kLatticeScales;

  uint64_t stages() const { return (bits + 1) / 2; }
  bool is_short(uint64_t stage) const { return bits % 2 != 0 && stage + 1 == stages(); }
};

inline constexpr float kE8Unit = 0x1p-8f;

// Element = scale * the sum over stages of weight * coordinate in quarters * kE8Unit.
class E8Form final : public TiledForm {
 public:
  // weights: of each stage 1 to 255. codes: of each stage, of all vectors row by row, u16 or u8.
  E8Form(Shape shape, const E8Parameters& parameters, std::vector<uint8_t> weights, Buffer scales,
         std::vector<Buffer> codes);

  Expression expression() const override;
  std::string_view kind() const override { return "lattice"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

  const E8Parameters& parameters() const { return parameters_; }
  const std::vector<uint8_t>& weights() const { return weights_; }
  const GroupScales& group_scales() const { return scales_; }
  const std::vector<Buffer>& codes() const { return codes_; }

 protected:
  void decode_tile(uint64_t row, uint64_t begin, uint64_t n, float* out) const override;
  uint64_t tile_unit() const override { return 8; }
  const GroupScales& scales() const override { return scales_; }

 private:
  E8Parameters parameters_;
  std::vector<uint8_t> weights_;
  GroupScales scales_;
  std::vector<Buffer> codes_;
};

}  // namespace pith::form
