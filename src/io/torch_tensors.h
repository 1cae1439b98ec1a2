// The tensors of a torch.save pickle, by the storage that they view.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pickle.h"
#include "pith/base/dtype.h"

namespace pith::io {

struct TorchStorage {
  DType dtype = DType::kBytes;
  bool typed = false;           // dtype is known, from the storage or from its first view
  std::string name;             // of the first tensor that views it: "state_dict.conv.weight"
  std::vector<uint64_t> shape;  // of that tensor
  bool whole = false;           // every view has this shape, is contiguous and begins at 0
};

// By the key that names the storage's member.
using TorchStorages = std::map<std::string, TorchStorage, std::less<>>;

TorchStorages torch_storages(const Pickle& pickle);

}  // namespace pith::io
