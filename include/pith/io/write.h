// Writers of the formats in which Pith hands tensors to other programs.
//
// The header functions give the bytes that stand before the tensors' data; the caller appends the
// data. All throw ErrorKind::kUsage for what the format cannot hold: an element type that it does
// not have, text that is not UTF-8, two tensors of one name, sizes that overflow.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/base/dtype.h"
#include "pith/io/gguf_metadata.h"

namespace pith::io {

struct TensorInfo {
  std::string name;  // UTF-8
  DType dtype = DType::kBytes;
  std::vector<uint64_t> shape;  // outermost dimension first
};

using Metadata = std::vector<std::pair<std::string, std::string>>;

// The order in which the safetensors library stores tensors (by type, wide ones first, then by
// name), as indices into `tensors`. The data follow the header in this order, without gaps.
std::vector<size_t> safetensors_order(std::span<const TensorInfo> tensors);

// The length and the JSON header, byte for byte as the safetensors library writes them; metadata
// entries keep the order given.
Bytes safetensors_header(std::span<const TensorInfo> tensors, const Metadata& metadata = {});

// The header of an .npy file in C order, byte for byte as NumPy writes it (format version 1.0,
// or 2.0 where the shape needs it). NumPy has no bf16 and no 8-bit floats: these become void
// elements of their width, which `array.view(ml_dtypes.bfloat16)` turns back.
Bytes npy_header(DType dtype, std::span<const uint64_t> shape);

// An .npz archive with stored (not deflated) members, as numpy.savez writes, in a stream.
//
//   NpzWriter npz([&](ByteView bytes) { file.write(bytes); });
//   npz.add("weight", DType::kF32, shape, data);
//   npz.finish();
class NpzWriter {
 public:
  using Sink = std::function<void(ByteView)>;
  explicit NpzWriter(Sink sink) : sink_(std::move(sink)) {}

  // `data`: exactly the array's elements, little-endian.
  void add(const std::string& name, DType dtype, std::span<const uint64_t> shape, ByteView data);
  // Writes the directory; nothing may be added after it.
  void finish();

 private:
  struct Member {
    std::string name;
    uint32_t crc;
    uint64_t size, offset;
  };
  void write(ByteView bytes);

  Sink sink_;
  std::vector<Member> members_;
  uint64_t written_ = 0;
};

// The header, metadata and tensor table of a little-endian GGUF version 3 file, padded to
// `alignment` (a power of two, a multiple of 8). The tensors follow in the order given, each padded
// with zeros to the alignment. Where it is not 32, "general.alignment" is added to the metadata.
Bytes gguf_header(const GgufMetadata& metadata, std::span<const TensorInfo> tensors,
                  uint32_t alignment = 32);

}  // namespace pith::io
