// lattice(pyramid, dim, k): a gain and a direction for every run of neighbours, the direction a
// point of a pyramid by its number (pyramid vector quantization: Fischer 1986; for weights of
// language models van der Ouderaa et al. 2024).
#pragma once

#include <span>

#include "lattice.h"
#include "pith/base/bytes.h"
#include "pyramid.h"

namespace pith::form {

struct PyramidParameters {
  uint64_t dim = 16, pulses = 1;
  int gain_bits = 4;  // 0 to 8
  ScaleGroups scales = kLatticeScales;
};

uint64_t runs_of_row(const PyramidParameters& p, Shape shape);

// Runs of `dim` elements of a row one after the other, each an index and above it the code of a
// gain, lowest bits first. Element = scale * gain * coordinate.
class PyramidForm final : public TiledForm {
 public:
  // gains: f32, of each code. Throws ErrorKind::kData for sizes that do not agree.
  PyramidForm(Shape shape, const PyramidParameters& parameters, Buffer gains, Buffer scales,
              Buffer codes);

  Expression expression() const override;
  std::string_view kind() const override { return "lattice"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

  const PyramidParameters& parameters() const { return parameters_; }
  const Pyramid& pyramid() const { return pyramid_; }
  const GroupScales& group_scales() const { return scales_; }
  float gain(uint64_t code) const { return load_le<float>(gains_.data() + sizeof(float) * code); }
  // Of a run (the place-th of all): its index, and above that the code of its gain.
  PyramidIndex code(uint64_t place) const;
  static Bytes pack(std::span<const PyramidIndex> codes, int bits);

 protected:
  void decode_tile(uint64_t row, uint64_t begin, uint64_t n, float* out) const override;
  uint64_t tile_unit() const override { return parameters_.dim; }
  const GroupScales& scales() const override { return scales_; }

 private:
  PyramidParameters parameters_;
  Pyramid pyramid_;
  Buffer gains_;
  GroupScales scales_;
  Buffer codes_;
};

}  // namespace pith::form
