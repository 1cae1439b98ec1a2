// Tensors in memory or in another archive as the safetensors file that they would make, which is
// never put together as a whole.
#pragma once

#include <pybind11/pybind11.h>

#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "buffers.h"
#include "pith/archive/reader.h"
#include "pith/archive/source.h"
#include "pith/io/write.h"

namespace pith::python {

// name, dtype, shape, data: a buffer, or (archive, index of a tensor there).
using TensorArgument =
    std::tuple<std::string, std::string, std::vector<uint64_t>, pybind11::object>;

class TensorsSource : public archive::Source {
 public:
  // Bytes of a buffer, or of a file of an archive from `offset` on.
  struct Part {
    ByteView bytes;
    std::shared_ptr<const archive::Archive> archive;
    size_t file = 0, tensor = 0;
    uint64_t offset = 0;
    uint64_t begin = 0, size = 0;  // in this source
  };

  TensorsSource(io::Layout layout, Bytes header, std::vector<Part> parts,
                std::vector<Buffer> buffers);

  io::Layout layout() override { return layout_; }
  std::optional<uint64_t> size() const override { return size_; }
  pith::Buffer get(uint64_t offset, uint64_t n) override;
  // Tensors that their archive has in a form stay in it.
  std::optional<archive::StoredForm> form(const io::TensorRegion& tensor) override;
  bool has_forms() const override;
  // The whole file, in pieces.
  void write(const std::function<void(ByteView)>& sink);

 private:
  void copy(const Part& part, uint64_t from, MutableByteView out) const;

  io::Layout layout_;
  Bytes header_;
  std::vector<Part> parts_;  // ascending, without gaps; the first one is the header
  std::vector<Buffer> buffers_;
  uint64_t size_ = 0;
};

// To be destroyed under the interpreter lock. Throws kUsage for what safetensors cannot hold and
// for data of another size than dtype and shape say.
std::shared_ptr<TensorsSource> tensors_source(const std::vector<TensorArgument>& arguments,
                                              const io::Metadata& metadata);

}  // namespace pith::python
