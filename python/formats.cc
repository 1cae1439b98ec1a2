// Element types, and plain safetensors files.
#include <pybind11/stl.h>

#include "bindings.h"
#include "buffers.h"
#include "pith/archive/reader.h"
#include "pith/base/dtype.h"
#include "pith/base/file.h"
#include "pith/io/layout.h"
#include "pith/io/names.h"
#include "pith/io/write.h"
#include "tensors_source.h"

namespace pith::python {
namespace {

namespace py = pybind11;

py::list dtypes() {
  py::list out;
  for (const DTypeInfo& t : all_dtypes()) {
    const std::string_view name = io::safetensors_name(t.dtype);
    out.append(py::make_tuple(t.name, t.block_elements, t.block_bytes, t.exponent_bits,
                              t.mantissa_bits,
                              name.empty() ? py::none() : py::object(py::str(name))));
  }
  return out;
}

// The format allows no byte that belongs to no tensor; regions never overlap.
void check_covered(const io::Layout& layout, ByteView file) {
  uint64_t covered = 8 + load_le<uint64_t>(file.data());
  for (const io::TensorRegion& t : layout.tensors) covered += t.size;
  if (covered != file.size()) {
    fail(ErrorKind::kData, "safetensors: {} bytes belong to no tensor", file.size() - covered);
  }
}

// (tensors, metadata) of a safetensors file; anything that is not one is an error here.
py::tuple safetensors_layout(const py::object& data) {
  const Buffer buffer(data);
  io::Layout layout;
  {
    py::gil_scoped_release unlocked;
    layout = io::describe(buffer.bytes(), "file.safetensors").layout;
    if (layout.format != "safetensors" || !layout.notes.empty()) {
      fail(ErrorKind::kData, "{}",
           layout.notes.empty() ? "not a safetensors file" : layout.notes.front());
    }
    check_covered(layout, buffer.bytes());
  }
  py::list tensors;
  for (const io::TensorRegion& t : layout.tensors) {
    tensors.append(
        py::make_tuple(t.name, info(t.dtype).name, py::tuple(py::cast(t.shape)), t.offset, t.size));
  }
  return py::make_tuple(tensors, layout.metadata);
}

void write_safetensors(const std::string& path, const std::vector<TensorArgument>& arguments,
                       const io::Metadata& metadata, bool overwrite) {
  const auto source = tensors_source(arguments, metadata);
  py::gil_scoped_release unlocked;
  AtomicFile file(path, overwrite);
  source->write([&](ByteView piece) { file.write(piece); });
  file.commit();
}

py::bytes safetensors_bytes(const std::vector<TensorArgument>& arguments,
                            const io::Metadata& metadata) {
  const auto source = tensors_source(arguments, metadata);
  return new_bytes(*source->size(), [&](MutableByteView out) {
    size_t at = 0;
    source->write([&](ByteView piece) {
      std::ranges::copy(piece, out.begin() + static_cast<std::ptrdiff_t>(at));
      at += piece.size();
    });
  });
}

}  // namespace

void bind_formats(py::module_& m) {
  m.def("dtypes", &dtypes);
  m.def("safetensors_layout", &safetensors_layout, py::arg("data"));
  m.def("write_safetensors", &write_safetensors, py::arg("path"), py::arg("tensors"),
        py::arg("metadata"), py::arg("overwrite"));
  m.def("safetensors_bytes", &safetensors_bytes, py::arg("tensors"), py::arg("metadata"));
  m.def(
      "is_archive",
      [](const py::object& data) { return archive::Archive::is_archive(Buffer(data).bytes()); },
      py::arg("data"));
}

}  // namespace pith::python
