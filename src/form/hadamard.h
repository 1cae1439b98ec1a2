// Spreads every element over all coordinates, so that no outlier is left for a quantizer to meet
// (QuIP, Chee et al. 2023; QuaRot, Ashkboos et al. 2024), by an orthonormal transform of any size.
#pragma once

#include "basis.h"

namespace pith::form {

// size = 2^k m with m odd: the Walsh-Hadamard transform of 2^k, and across it the discrete Hartley
// transform of m, whose entries are within sqrt(2) of flat for every m. Both are their own inverse.
// Before it, signs drawn from the seed (0: none).
class HadamardBasis final : public Basis {
 public:
  HadamardBasis(uint64_t size, uint64_t seed);

  std::string_view kind() const override { return "hadamard"; }
  Expression expression() const override;
  void write_body(BodyWriter& to) const override;
  void forward(float* x) const override;
  void back(float* row) const override;

  static BasisPtr read(uint64_t size, BodyReader& in);
  static BasisPtr make(const Expression& call, MatrixView matrix);

 private:
  void transform(float* x) const;
  void flip(float* x) const;

  uint64_t seed_, power_, odd_;  // size = power * odd
  std::vector<float> hartley_;   // odd * odd, empty where odd is 1
};

}  // namespace pith::form
