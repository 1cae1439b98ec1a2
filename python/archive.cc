// Reading archives.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "bindings.h"
#include "buffers.h"
#include "form.h"
#include "interruptible.h"
#include "pith/archive/reader.h"

namespace pith::python {
namespace {

namespace py = pybind11;
using archive::Archive;
using archive::FileInfo;

archive::OpenOptions open_options(std::vector<std::filesystem::path> bases,
                                  std::optional<uint64_t> memory_limit) {
  archive::OpenOptions options;
  options.bases = std::move(bases);
  if (memory_limit) options.memory_limit = *memory_limit;
  return options;
}

std::shared_ptr<Archive> open(const std::filesystem::path& path,
                              std::vector<std::filesystem::path> bases,
                              std::optional<uint64_t> memory_limit) {
  py::gil_scoped_release unlocked;
  return std::make_shared<Archive>(
      Archive::open(path, open_options(std::move(bases), memory_limit)));
}

// The Python object is kept alive by the binding; bytes objects do not change.
std::shared_ptr<Archive> open_memory(const py::bytes& data,
                                     std::vector<std::filesystem::path> bases,
                                     std::optional<uint64_t> memory_limit) {
  const ByteView view = Buffer(data).bytes();
  py::gil_scoped_release unlocked;
  return std::make_shared<Archive>(
      Archive::open_memory(view, open_options(std::move(bases), memory_limit)));
}

py::tuple tensor(const Archive& a, size_t t) {
  const archive::TensorInfo& info = a.tensors().at(t);
  return py::make_tuple(info.region.name, pith::info(info.region.dtype).name,
                        py::tuple(py::cast(info.region.shape)), info.region.size, info.file,
                        info.region.big_endian);
}

py::tuple file(const Archive& a, size_t f) {
  const FileInfo& info = a.files().at(f);
  return py::make_tuple(info.path, info.kind == archive::EntryKind::kDirectory, info.size,
                        info.hash.hex(), info.format, info.metadata, info.notes, info.stored);
}

py::bytes read(const Archive& a, size_t f, uint64_t offset, uint64_t size) {
  return new_bytes(size, [&](MutableByteView out) { a.read(f, offset, out); });
}

void read_tensor_into(const Archive& a, size_t t, const py::object& out, int threads) {
  const Buffer buffer(out, true);
  py::gil_scoped_release unlocked;
  a.read_tensor(t, buffer.writable(), threads);
}

void read_rows_into(const Archive& a, size_t t, uint64_t first, uint64_t last,
                    const py::object& out) {
  const Buffer buffer(out, true);
  py::gil_scoped_release unlocked;
  a.read_rows(t, first, last, buffer.writable());
}

// None: stored losslessly.
std::optional<PyForm> form(const Archive& a, size_t t, bool checked) {
  py::gil_scoped_release unlocked;
  form::FormPtr found = a.form(t, checked);
  if (!found) return std::nullopt;
  return PyForm{std::move(found)};
}

py::object form_info(const Archive& a, size_t t) {
  const archive::TensorInfo& tensor = a.tensors().at(t);
  if (!tensor.form) return py::none();
  const auto elements = static_cast<double>(archive::matrix_shape(tensor.region).size());
  return py::make_tuple(tensor.form->expression, tensor.form->bytes,
                        8 * static_cast<double>(tensor.form->bytes) / elements, tensor.form->error,
                        tensor.form->max_error);
}

py::tuple detail(const Archive& a, size_t t) {
  archive::TensorDetail d;
  {
    py::gil_scoped_release unlocked;
    d = a.detail(t);
  }
  return py::make_tuple(d.stored, d.shared, d.explain);
}

std::vector<std::string> verify(const Archive& a, int threads, const py::object& progress) {
  const auto report =
      interruptible(progress, [&](const Progress& p) { return a.verify(threads, p); });
  std::vector<std::string> out;
  for (const archive::VerifyProblem& problem : report.problems) out.push_back(problem.what);
  return out;
}

archive::ExtractOptions extract_options(int threads, bool overwrite, const Progress& progress) {
  archive::ExtractOptions options;
  options.threads = threads;
  options.overwrite = overwrite;
  options.progress = progress;
  return options;
}

void extract_all(const Archive& a, const std::filesystem::path& folder, int threads, bool overwrite,
                 const py::object& progress) {
  interruptible(progress, [&](const Progress& p) {
    a.extract_all(folder, extract_options(threads, overwrite, p));
    return true;
  });
}

void extract_file(const Archive& a, size_t f, const std::filesystem::path& target, int threads,
                  bool overwrite, const py::object& progress) {
  interruptible(progress, [&](const Progress& p) {
    a.extract_file(f, target, extract_options(threads, overwrite, p));
    return true;
  });
}

py::object base(const Archive& a) {
  const auto record = a.base_record();
  if (!record) return py::none();
  return py::make_tuple(record->name, record->hash.hex(), record->size);
}

}  // namespace

void bind_archive(py::module_& m) {
  py::class_<Archive, std::shared_ptr<Archive>>(m, "Archive")
      .def_static("open", &open, py::arg("path"), py::arg("bases"), py::arg("memory_limit"))
      .def_static("open_memory", &open_memory, py::arg("data"), py::arg("bases"),
                  py::arg("memory_limit"), py::keep_alive<0, 1>())
      .def("tensor_count", [](const Archive& a) { return a.tensors().size(); })
      .def("tensor", &tensor, py::arg("index"))
      .def("file_count", [](const Archive& a) { return a.files().size(); })
      .def("file", &file, py::arg("index"))
      .def("find", &Archive::find, py::arg("name"))
      .def("find_file", &Archive::find_file, py::arg("path"))
      .def("read", &read, py::arg("file"), py::arg("offset"), py::arg("size"))
      .def("read_tensor_into", &read_tensor_into, py::arg("index"), py::arg("out"),
           py::arg("threads"))
      .def("read_rows_into", &read_rows_into, py::arg("index"), py::arg("first"), py::arg("last"),
           py::arg("out"))
      .def("detail", &detail, py::arg("index"))
      .def("form", &form, py::arg("index"), py::arg("checked"), py::keep_alive<0, 1>())
      .def("form_info", &form_info, py::arg("index"))
      .def("verify", &verify, py::arg("threads"), py::arg("progress"))
      .def("extract_all", &extract_all, py::arg("folder"), py::arg("threads"), py::arg("overwrite"),
           py::arg("progress"))
      .def("extract_file", &extract_file, py::arg("file"), py::arg("target"), py::arg("threads"),
           py::arg("overwrite"), py::arg("progress"))
      .def("content_hash", [](const Archive& a) { return a.content_hash().hex(); })
      .def("base", &base)
      .def("version", &Archive::version)
      .def("raw_size", &Archive::raw_size)
      .def("stored_size", &Archive::stored_size);
}

}  // namespace pith::python
