// A convolutional network in integers alone: weights and inputs of layers in codes of 2 to 8 bits,
// products summed in 32 bits, and every change of scale, also of the branches that a residual sum
// joins, a product with b / 2^c. From the codes of the image to those of the outputs there is no
// float, and no division (HAWQ-V3, Yao et al. 2021; Jacob et al. 2018).
//
//   fold_batch_norms(graph);
//   Network network(graph);
//   for (size_t i = 0; …) network.set_form(i, form::encode(form::parse("uniform(4, group=row)"),
//   …)); const IntegerNetwork integers(network, ActivationSamples(Network(graph), images), bits);
//   const IntegerTensor codes = integers.run(integers.quantized(images));
//   const Tensor logits = integers.dequantized(codes);
//
// Operators: Conv, Gemm, Relu, MaxPool, GlobalAveragePool, Add of two values, Flatten.
#pragma once

#include <memory>
#include <span>

#include "pith/network/activation_samples.h"

namespace pith::network {

struct IntegerTensor {
  Dims dims;
  std::vector<int32_t> values;
  bool operator==(const IntegerTensor&) const = default;
};

struct IntegerSteps;

class IntegerNetwork {
 public:
  // network: of one input and one output, whose layers have forms of integers
  // (form/integer_rows.h). seen: what its values are. input_bits: of the codes that each layer
  // multiplies, 2 to 8; the image's codes have those of the first, outputs and residual sums 16.
  // Throws ErrorKind::kUsage with the node's name for operators that have no integer form here, and
  // for sums that could leave 32 bits.
  IntegerNetwork(const Network& network, const ActivationSamples& seen,
                 std::span<const int> input_bits);

  IntegerTensor run(const IntegerTensor& input, int threads = 1) const;

  // Of an image, and what the codes of outputs stand for: before and after the network.
  IntegerTensor quantized(const Tensor& input) const;
  Tensor dequantized(const IntegerTensor& output) const;

  // Simulated quantization: the same network in floats, which holds integers at every place and
  // multiplies by b / 2^c in float64. Its outputs are run()'s codes, bit for bit, for inputs that
  // are quantized()'s. Throws ErrorKind::kUsage where sums could leave the 24 bits of floats.
  Graph simulated() const;

 private:
  std::shared_ptr<const IntegerSteps> steps_;
};

}  // namespace pith::network
