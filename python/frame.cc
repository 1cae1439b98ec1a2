// Coded buffers.
#include "frame.h"

#include <pybind11/stl.h>

#include "bindings.h"
#include "buffers.h"

namespace pith::python {
namespace {

namespace py = pybind11;

py::bytes compress_bytes(const py::object& data, const std::string& dtype, lossless::Level level,
                         int threads) {
  const Buffer buffer(data);
  const DTypeInfo* known = find_dtype(dtype);
  if (!known) fail(ErrorKind::kUsage, "'{}' is no element type", dtype);
  Bytes coded;
  {
    py::gil_scoped_release unlocked;
    coded = frame::encode(buffer.bytes(), known->dtype, level, threads);
  }
  return {reinterpret_cast<const char*>(coded.data()), coded.size()};
}

py::bytes decompress_bytes(const py::object& data, uint64_t memory_limit, int threads) {
  const Buffer buffer(data);
  const uint64_t size = frame::raw_size(buffer.bytes());
  if (size > memory_limit) {
    fail(ErrorKind::kLimit, "frame: {} bytes, above the memory limit of {}", size, memory_limit);
  }
  return new_bytes(size, [&](MutableByteView out) { frame::decode(buffer.bytes(), out, threads); });
}

}  // namespace

void bind_frame(py::module_& m) {
  m.def("compress_bytes", &compress_bytes, py::arg("data"), py::arg("dtype"), py::arg("level"),
        py::arg("threads"));
  m.def("decompress_bytes", &decompress_bytes, py::arg("data"), py::arg("memory_limit"),
        py::arg("threads"));
}

}  // namespace pith::python
