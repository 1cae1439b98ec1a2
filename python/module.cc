// pith._pith: what the Python package needs from the library. The public interface, its defaults
// and its documentation are in python/pith.
#include "bindings.h"

PYBIND11_MODULE(_pith, m) {
  m.attr("__version__") = PITH_VERSION_TEXT;
  pith::python::bind_errors(m);
  pith::python::bind_formats(m);
  pith::python::bind_form(m);
  pith::python::bind_model(m);
  pith::python::bind_kv(m);
  pith::python::bind_archive(m);
  pith::python::bind_write(m);
  pith::python::bind_frame(m);
}
