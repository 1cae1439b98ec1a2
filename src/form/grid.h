// Levels that codes stand for, before they are scaled.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace pith::form {

// Named grids:
//   uniform    0, 1, … 2^bits - 1 with a zero point; around zero, -2^(bits-1) … 2^(bits-1) - 1
//   positive   0, 1, … 2^bits - 1
//   gaussian   least squared error for a normal variable (Max 1960; Lloyd 1982), 2 to 8 bits
//   nf4        equal mass under a normal density, with zero (Dettmers et al., QLoRA 2023)
//   fp4        sign, two exponent bits, one mantissa bit (OCP MX specification 2023)
//   fp8        e4m3 without its NaN
//   ternary    -1, 0, 1 in two bits
//   binary     -1, 1 in one bit
// Ascending. Throws ErrorKind::kUsage for a name that is none, or a width it does not have.
std::vector<float> grid_levels(std::string_view name, int bits, bool around_zero);

// The bits that a grid implies, or 0 when it is there for several (or is none).
int grid_bits(std::string_view name);
bool is_grid(std::string_view name, int bits);

// Index of the nearest level; ties go to the lower one. The levels ascend.
class NearestLevel {
 public:
  explicit NearestLevel(std::span<const float> levels);
  uint8_t operator()(float v) const;

 private:
  std::vector<float> middles_;
};

}  // namespace pith::form
