// One tensor, or some of its rows, as raw little-endian bytes, .npy or .safetensors.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "pith/archive/reader.h"
#include "units.h"

namespace pith::command {

enum class TensorFormat { kRaw, kNpy, kSafetensors };

// By the ending of a file name.
TensorFormat tensor_format(std::string_view file_name);

// Streams the tensor in pieces of bounded size. Throws kUsage for rows that are not there and for
// types that the format does not have.
void write_tensor(const archive::Archive& archive, size_t tensor, std::optional<RowRange> rows,
                  TensorFormat format, const std::function<void(ByteView)>& sink);

}  // namespace pith::command
