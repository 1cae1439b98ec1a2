// Compressed forms of matrices.
#include "form.h"

#include <pybind11/stl.h>

#include "bindings.h"
#include "buffers.h"
#include "pith/base/float_elements.h"

namespace pith::python {
namespace {

namespace py = pybind11;
using form::Matrix;
using form::MatrixView;

// The last dimension is the columns, the others together the rows.
form::Shape matrix_shape(const std::vector<uint64_t>& shape) {
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows = checked_mul(rows, shape[i]);
  return form::checked_shape(rows, shape.empty() ? 1 : shape.back());
}

PyForm encode(const py::object& data, const std::string& dtype, const std::vector<uint64_t>& shape,
              const std::string& expression) {
  const Buffer buffer(data);
  const DTypeInfo* type = find_dtype(dtype);
  if (!type || !has_float_elements(type->dtype)) {
    fail(ErrorKind::kUsage, "a form is made of floats, not of {}", dtype);
  }
  if (tensor_bytes(type->dtype, shape) != buffer.bytes().size()) {
    fail(ErrorKind::kUsage, "{} bytes are not what type and shape need", buffer.bytes().size());
  }
  py::gil_scoped_release unlocked;
  const form::Expression parsed = form::parse(expression);
  Matrix matrix(matrix_shape(shape));
  floats_from(buffer.bytes(), type->dtype, false, matrix.values.data());
  return {form::encode(parsed, matrix.view())};
}

PyForm read(const py::object& data) {
  const Buffer buffer(data);
  py::gil_scoped_release unlocked;
  auto own = std::make_shared<const Bytes>(buffer.bytes().begin(), buffer.bytes().end());
  return {form::read(*own, own)};
}

py::bytes write(const PyForm& f) {
  const Bytes stored = [&] {
    py::gil_scoped_release unlocked;
    return form::write(*f.form);
  }();
  return {reinterpret_cast<const char*>(stored.data()), stored.size()};
}

// Floats of a buffer that Python made as such.
std::span<const float> floats_of(const Buffer& buffer) {
  return {reinterpret_cast<const float*>(buffer.bytes().data()), buffer.bytes().size() / 4};
}

void apply(const PyForm& f, const py::object& x, uint64_t batch, const py::object& out,
           int threads) {
  const Buffer in(x), to(out, true);
  const form::Shape shape = f.form->shape();
  if (floats_of(in).size() != checked_mul(batch, shape.cols) ||
      to.bytes().size() != checked_mul(checked_mul(batch, shape.rows), sizeof(float))) {
    fail(ErrorKind::kUsage, "vectors of another size than the form's {} columns", shape.cols);
  }
  py::gil_scoped_release unlocked;
  Matrix y;
  form::apply(*f.form, MatrixView{floats_of(in).data(), {batch, shape.cols}}, y,
              thread_count(threads));
  std::ranges::copy(y.values, reinterpret_cast<float*>(to.writable().data()));
}

void decode(const PyForm& f, uint64_t first, uint64_t last, const py::object& out) {
  const Buffer to(out, true);
  const form::Shape shape = f.form->shape();
  if (first > last || last > shape.rows ||
      to.bytes().size() != (last - first) * shape.cols * sizeof(float)) {
    fail(ErrorKind::kUsage, "a form of {} rows has no rows {}..{}", shape.rows, first, last);
  }
  py::gil_scoped_release unlocked;
  f.form->decode(first, last, reinterpret_cast<float*>(to.writable().data()));
}

}  // namespace

void bind_form(py::module_& m) {
  py::class_<PyForm>(m, "Form")
      .def("shape",
           [](const PyForm& f) { return std::pair(f.form->shape().rows, f.form->shape().cols); })
      .def("expression", [](const PyForm& f) { return form::to_string(f.form->expression()); })
      .def("bits", [](const PyForm& f) { return form::bits(*f.form); })
      .def("apply", &apply, py::arg("x"), py::arg("batch"), py::arg("out"), py::arg("threads"))
      .def("decode", &decode, py::arg("first"), py::arg("last"), py::arg("out"))
      .def("write", &write);
  m.def("form_encode", &encode, py::arg("data"), py::arg("dtype"), py::arg("shape"),
        py::arg("expression"));
  m.def("form_read", &read, py::arg("data"));
}

}  // namespace pith::python
