// pith::Error as the exceptions of pith/_errors.py.
#include "bindings.h"
#include "pith/base/error.h"

namespace pith::python {
namespace {

namespace py = pybind11;

const char* class_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kData:
      return "DataError";
    case ErrorKind::kIo:
      return "IoError";
    case ErrorKind::kLimit:
      return "LimitError";
    case ErrorKind::kUsage:
      return "UsageError";
    case ErrorKind::kBase:
      return "BaseError";
  }
  return "Error";
}

}  // namespace

void bind_errors(py::module_&) {
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Error& e) {
      // File names need not be UTF-8.
      const std::string text = e.what();
      const auto message = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
          text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape"));
      const py::object type = py::module_::import("pith._errors").attr(class_name(e.kind()));
      PyErr_SetObject(type.ptr(), message.ptr());
    }
  });
}

}  // namespace pith::python
