// Where a file holds what a network multiplies by.
#pragma once

#include <string>
#include <vector>

#include "pith/form/form.h"
#include "pith/io/onnx.h"
#include "pith/network/network.h"

namespace pith::network {

struct StoredWeight {
  // Of the file: an initializer, or the first output of a Constant node. Empty: the weight is
  // computed in a way that changes more than the order of rows and columns.
  std::string tensor;
  bool turned = false;  // it has a row for each input
};

// Of each layer of the network that graph_of(file) gives.
std::vector<StoredWeight> stored_weights(const io::OnnxGraph& file, const Network& network);

// The form as it stands in the file.
form::FormPtr as_stored(const StoredWeight& weight, form::FormPtr form);

}  // namespace pith::network
