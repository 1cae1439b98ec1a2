// The parts of the extension module; each adds its functions and classes to it.
#pragma once

#include <pybind11/pybind11.h>

namespace pith::python {

void bind_errors(pybind11::module_& m);
void bind_formats(pybind11::module_& m);
void bind_archive(pybind11::module_& m);
void bind_write(pybind11::module_& m);
void bind_frame(pybind11::module_& m);
void bind_form(pybind11::module_& m);
void bind_model(pybind11::module_& m);
void bind_kv(pybind11::module_& m);

}  // namespace pith::python
