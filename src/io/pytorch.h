// PyTorch's zip checkpoints: storages are members `<prefix>/data/<key>`, and the pickle
// `<prefix>/data.pkl` says which tensors view them.
#pragma once

#include "pith/io/layout.h"
#include "zip.h"

namespace pith::io {

bool is_pytorch(const std::vector<ZipMember>& members);
Description read_pytorch(ByteView file, const std::vector<ZipMember>& members);

}  // namespace pith::io
