// Views of Python buffers (bytes, bytearray, memoryview, ndarray, mmap) as spans, without a copy.
#pragma once

#include <pybind11/pybind11.h>

#include "pith/base/bytes.h"

namespace pith::python {

// Holds the buffer while it lives; made and destroyed under the interpreter lock.
class Buffer {
 public:
  explicit Buffer(pybind11::handle object, bool writable = false) {
    const int flags = writable ? PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS : PyBUF_C_CONTIGUOUS;
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw pybind11::error_already_set();
  }
  ~Buffer() {
    if (view_.obj) PyBuffer_Release(&view_);
  }
  Buffer(Buffer&& other) noexcept : view_(other.view_) { other.view_.obj = nullptr; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  ByteView bytes() const {
    return {static_cast<const uint8_t*>(view_.buf), static_cast<size_t>(view_.len)};
  }
  MutableByteView writable() const {
    return {static_cast<uint8_t*>(view_.buf), static_cast<size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

// A bytes object of `size` bytes that `fill(MutableByteView)` writes with the lock released.
template <class Fill>
pybind11::bytes new_bytes(uint64_t size, Fill&& fill) {
  if (size > static_cast<uint64_t>(PY_SSIZE_T_MAX)) {
    fail(ErrorKind::kLimit, "{} bytes do not fit into memory", size);
  }
  PyObject* object = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
  if (!object) throw pybind11::error_already_set();
  auto out = pybind11::reinterpret_steal<pybind11::bytes>(object);
  const MutableByteView view{reinterpret_cast<uint8_t*>(PyBytes_AS_STRING(object)), size};
  pybind11::gil_scoped_release unlocked;
  fill(view);
  return out;
}

}  // namespace pith::python
