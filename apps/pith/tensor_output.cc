#include "tensor_output.h"

#include <algorithm>

#include "pith/io/write.h"
#include "signals.h"

namespace pith::command {
namespace {

constexpr uint64_t kPiece = uint64_t{32} << 20;  // a multiple of every element's size

Bytes header(const io::TensorRegion& region, TensorFormat format) {
  switch (format) {
    case TensorFormat::kNpy:
      return io::npy_header(region.dtype, region.shape);
    case TensorFormat::kSafetensors: {
      const io::TensorInfo tensor{region.name, region.dtype, region.shape};
      return io::safetensors_header({&tensor, 1});
    }
    case TensorFormat::kRaw:
      break;
  }
  return {};
}

void swap_bytes(MutableByteView data, DType dtype) {
  const DTypeInfo& type = info(dtype);
  const size_t width = type.kind == NumberKind::kComplex ? type.block_bytes / 2 : type.block_bytes;
  if (width < 2) return;
  for (size_t at = 0; at + width <= data.size(); at += width) {
    std::reverse(data.begin() + static_cast<ptrdiff_t>(at),
                 data.begin() + static_cast<ptrdiff_t>(at + width));
  }
}

// The part of the tensor that is asked for, as a tensor of its own.
io::TensorRegion select_rows(const archive::Archive& archive, size_t tensor, RowRange rows) {
  io::TensorRegion region = archive.tensors().at(tensor).region;
  if (region.shape.empty())
    fail(ErrorKind::kUsage, "tensor '{}' is a scalar and has no rows", region.name);
  const uint64_t count = region.shape[0];
  const uint64_t last = rows.last == UINT64_MAX ? count : rows.last;
  if (rows.first >= last || last > count) {
    fail(ErrorKind::kUsage, "tensor '{}' has {} rows; {}:{} are not in it", region.name, count,
         rows.first, last);
  }
  const uint64_t row = archive.row_bytes(tensor);
  region.offset += rows.first * row;
  region.size = (last - rows.first) * row;
  region.shape[0] = last - rows.first;
  return region;
}

}  // namespace

TensorFormat tensor_format(std::string_view file_name) {
  if (file_name.ends_with(".npy")) return TensorFormat::kNpy;
  if (file_name.ends_with(".safetensors")) return TensorFormat::kSafetensors;
  return TensorFormat::kRaw;
}

void write_tensor(const archive::Archive& archive, size_t tensor, std::optional<RowRange> rows,
                  TensorFormat format, const std::function<void(ByteView)>& sink) {
  const archive::TensorInfo& whole = archive.tensors().at(tensor);
  const io::TensorRegion region = rows ? select_rows(archive, tensor, *rows) : whole.region;
  sink(header(region, format));
  Bytes piece(std::min(kPiece, region.size));
  for (uint64_t at = 0; at < region.size; at += piece.size()) {
    if (interrupted()) fail(ErrorKind::kIo, "interrupted");
    piece.resize(std::min<uint64_t>(piece.size(), region.size - at));
    archive.read(whole.file, region.offset + at, piece);
    if (region.big_endian) swap_bytes(piece, region.dtype);
    sink(piece);
  }
}

}  // namespace pith::command
