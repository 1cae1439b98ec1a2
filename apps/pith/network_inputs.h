// What a user names as inputs of a network: arrays of an npy or npz file.
#pragma once

#include <string>
#include <vector>

#include "pith/io/onnx.h"
#include "pith/network/tensor.h"

namespace pith::command {

// In the order of `wanted`, each by the name of the input; the only one of a file with any name for
// a network with one input. Throws ErrorKind::kUsage, with the file and the array, for what is no
// such file, names that are missing, other shapes, kinds of elements and no elements at all; kData
// for NaN and infinity.
std::vector<network::Tensor> read_inputs(const std::vector<io::OnnxValue>& wanted,
                                         const std::string& path);

}  // namespace pith::command
