// Writing archives.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "bindings.h"
#include "form.h"
#include "interruptible.h"
#include "pith/archive/writer.h"
#include "tensors_source.h"

namespace pith::python {
namespace {

namespace py = pybind11;
using Paths = std::vector<std::filesystem::path>;

archive::WriteOptions write_options(lossless::Level level, const Paths& bases, int threads,
                                    bool overwrite, const std::vector<FormRuleArgument>& forms,
                                    const Progress& progress) {
  archive::WriteOptions options;
  options.level = level;
  options.threads = threads;
  options.overwrite = overwrite;
  options.progress = progress;
  options.forms = form_rules(forms);
  if (!bases.empty()) options.base = archive::open_base(bases);
  return options;
}

py::tuple summary(const archive::WriteReport& report) {
  py::list files;
  for (const archive::FileReport& f : report.files) {
    files.append(py::make_tuple(f.path, f.format, f.raw, f.stored, f.hash.hex(), f.notes));
  }
  return py::make_tuple(report.raw, report.stored, report.shared, report.content_hash.hex(),
                        report.wall, files);
}

py::tuple compress(const Paths& paths, const std::filesystem::path& out, lossless::Level level,
                   const Paths& bases, int threads, bool overwrite,
                   const std::vector<FormRuleArgument>& forms, const py::object& progress) {
  return summary(interruptible(progress, [&](const Progress& p) {
    const auto inputs = archive::expand_inputs(paths);
    return archive::write_archive(inputs, out,
                                  write_options(level, bases, threads, overwrite, forms, p));
  }));
}

py::tuple save(const std::filesystem::path& out, const std::string& entry,
               const std::vector<TensorArgument>& arguments, const io::Metadata& metadata,
               lossless::Level level, const Paths& bases, int threads, bool overwrite,
               const std::vector<FormRuleArgument>& forms, const py::object& progress) {
  const auto source = tensors_source(arguments, metadata);
  return summary(interruptible(progress, [&](const Progress& p) {
    const std::vector<archive::Input> inputs = {{entry, source}};
    return archive::write_archive(inputs, out,
                                  write_options(level, bases, threads, overwrite, forms, p));
  }));
}

}  // namespace

std::vector<archive::FormRule> form_rules(const std::vector<FormRuleArgument>& arguments) {
  std::vector<archive::FormRule> rules;
  for (const auto& [pattern, expression] : arguments) {
    std::optional<form::Expression> parsed;
    if (expression) parsed = form::parse(*expression);
    rules.push_back({pattern, std::move(parsed)});
  }
  return rules;
}

void bind_write(py::module_& m) {
  py::enum_<lossless::Level>(m, "Level")
      .value("fast", lossless::Level::kFast)
      .value("default", lossless::Level::kDefault)
      .value("max", lossless::Level::kMax);
  m.def("compress", &compress, py::arg("paths"), py::arg("out"), py::arg("level"), py::arg("bases"),
        py::arg("threads"), py::arg("overwrite"), py::arg("forms"), py::arg("progress"));
  m.def("save", &save, py::arg("out"), py::arg("entry"), py::arg("tensors"), py::arg("metadata"),
        py::arg("level"), py::arg("bases"), py::arg("threads"), py::arg("overwrite"),
        py::arg("forms"), py::arg("progress"));
}

}  // namespace pith::python
