// A linear layer in integers alone: weights that a form holds as integers, inputs in bytes, sums of
// 32 bits, and outputs rescaled by b / 2^c for each of them.
//
//   const auto w = form::encode(form::parse("uniform(4, group=row)"), weights);
//   const IntegerLinear layer(*w, input_scale, output_scale, 8);
//   layer.apply(codes, batch, out);        // value of an output: output_scale * out
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/form/integer_rows.h"
#include "pith/network/dyadic.h"

namespace pith::network {

class IntegerLinear {
 public:
  // Outputs are codes of output_bits (2 to 16) with a sign. Throws ErrorKind::kUsage for forms
  // without integer rows (form/integer_rows.h), sums that could leave 32 bits, and scales that are
  // not positive.
  IntegerLinear(const form::Form& form, double input_scale, double output_scale, int output_bits);

  form::Shape shape() const { return weights_.shape; }
  // x: [batch][inputs], out: [batch][outputs]. Rows are shared out among the threads.
  void apply(std::span<const int8_t> x, uint64_t batch, std::span<int32_t> out,
             int threads = 1) const;

  const form::IntegerRows& weights() const { return weights_; }
  std::span<const Dyadic> rescaling() const { return by_; }  // of each output

 private:
  form::IntegerRows weights_;
  std::vector<Dyadic> by_;
  int32_t most_;
};

}  // namespace pith::network
