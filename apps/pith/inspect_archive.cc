#include <algorithm>

#include "form_table.h"
#include "inspect.h"
#include "units.h"

namespace pith::command {
namespace {

using archive::Archive;
using archive::FileInfo;
using archive::TensorDetail;

struct Details {
  std::vector<TensorDetail> all;
  std::vector<uint64_t> stored;
};

Details details_of(const Archive& archive) {
  Details details;
  for (size_t t = 0; t < archive.tensors().size(); ++t) {
    details.all.push_back(archive.detail(t));
    details.stored.push_back(details.all.back().stored);
  }
  return details;
}

std::vector<io::TensorRegion> regions_of(const Archive& archive) {
  std::vector<io::TensorRegion> regions;
  for (const auto& tensor : archive.tensors()) regions.push_back(tensor.region);
  return regions;
}

std::string how(const TensorDetail& detail) {
  if (detail.explain.empty()) return detail.shared > 0 ? "same as earlier bytes" : "";
  const size_t more = detail.explain.size() - 1;
  return more ? fmt::format("{} and {}", detail.explain[0], count_text(more, "other way"))
              : detail.explain[0];
}

std::string heading(const Archive& archive, const std::string& label) {
  const auto [major, minor] = archive.version();
  std::string s =
      fmt::format("{}: Pith archive, format {}.{}, {} => {} ({}x)\n", label, major, minor,
                  size_text(archive.raw_size()), size_text(archive.stored_size()),
                  ratio_text(archive.raw_size(), archive.stored_size()));
  s += fmt::format("content  {}\n", archive.content_hash().hex());
  if (const auto base = archive.base_record()) {
    s += fmt::format("base     {} ({}, {})\n", base->name, base->hash.hex(), size_text(base->size));
  }
  return s;
}

std::string file_table(const Archive& archive) {
  Table table({"file", "format", ">tensors", ">raw", ">stored", ">ratio"});
  for (const FileInfo& f : archive.files()) {
    if (f.kind == archive::EntryKind::kDirectory) {
      table.row({fmt::format("{}/", f.path), "folder"});
    } else {
      table.row({f.path, f.format, fmt::format("{}", f.tensor_count), size_text(f.size),
                 size_text(f.stored), ratio_text(f.size, f.stored)});
    }
  }
  return table.text();
}

bool has_forms(const Archive& archive) {
  return std::ranges::any_of(archive.tensors(), [](const auto& t) { return t.form.has_value(); });
}

FormTable form_table(const Archive& archive, const Details& details) {
  FormTable table;
  for (size_t t = 0; t < archive.tensors().size(); ++t) {
    const archive::TensorInfo& tensor = archive.tensors()[t];
    table.add(tensor.region, details.stored[t], tensor.form ? &*tensor.form : nullptr);
  }
  return table;
}

std::string tensor_table(const Archive& archive, const Details& details) {
  if (archive.tensors().empty()) return "";
  const bool forms = has_forms(archive);
  std::vector<std::string> headers{"tensor",  "dtype",  "shape",        ">raw",
                                   ">stored", ">ratio", ">bits/weight", "how"};
  if (forms) headers.insert(headers.end() - 1, ">error");
  Table table(headers);
  uint64_t raw = 0, stored = 0, weights = 0;
  for (size_t t = 0; t < archive.tensors().size(); ++t) {
    const io::TensorRegion& r = archive.tensors()[t].region;
    const auto& form = archive.tensors()[t].form;
    const uint64_t elements = element_count(r);
    raw += r.size;
    stored += details.stored[t];
    weights += elements;
    std::vector<std::string> cells{r.name,
                                   std::string(info(r.dtype).name),
                                   shape_text(r.shape),
                                   size_text(r.size),
                                   size_text(details.stored[t]),
                                   ratio_text(r.size, details.stored[t]),
                                   bits_text(form ? form->bytes : details.stored[t], elements)};
    if (forms) cells.push_back(form ? error_text(form->error) : "");
    const bool elsewhere = form && details.all[t].shared > 0;
    cells.push_back(how(details.all[t]) + (elsewhere ? ", " + form->expression : ""));
    table.row(std::move(cells));
  }
  table.row({"(together)", "", "", size_text(raw), size_text(stored), ratio_text(raw, stored),
             bits_text(stored, weights)});
  return table.text();
}

PlaneTable planes_of(const Archive& archive) {
  PlaneTable planes;
  for (size_t t = 0; t < archive.tensors().size(); ++t) {
    planes.add(archive.tensors()[t].region, [&] { return archive.read_tensor(t, 0); });
  }
  return planes;
}

Json file_json(const FileInfo& f) {
  if (f.kind == archive::EntryKind::kDirectory)
    return {{"path", f.path}, {"kind", "folder"}, {"mode", f.mode}};
  return {{"path", f.path},
          {"kind", "file"},
          {"mode", f.mode},
          {"format", f.format},
          {"raw", f.size},
          {"stored", f.stored},
          {"xxh3_128", f.hash.hex()},
          {"tensors", f.tensor_count},
          {"metadata", metadata_json(f.metadata)},
          {"notes", f.notes}};
}

Json tensor_json(const Archive& archive, size_t t, const TensorDetail& d) {
  const auto& tensor = archive.tensors()[t];
  const io::TensorRegion& r = tensor.region;
  return {{"name", r.name},
          {"file", archive.files()[tensor.file].path},
          {"dtype", info(r.dtype).name},
          {"shape", r.shape},
          {"offset", r.offset},
          {"raw", r.size},
          {"stored", d.stored},
          {"shared", d.shared},
          {"has_base", tensor.has_base},
          {"form", form_json(tensor.form ? &*tensor.form : nullptr, element_count(r))},
          {"how", d.explain}};
}

Json to_json(const Archive& archive, const Details& details, const std::string& label,
             const std::string& input) {
  Json j = {{"archive", label},
            {"version", fmt::format("{}.{}", archive.version().first, archive.version().second)},
            {"raw", archive.raw_size()},
            {"stored", archive.stored_size()},
            {"content_hash", archive.content_hash().hex()},
            {"base", nullptr},
            {"model", ModelFacts(input).json()},
            {"total", total_json(regions_of(archive), details.stored)}};
  if (const auto base = archive.base_record()) {
    j["base"] = {{"name", base->name},
                 {"hash", base->hash.hex()},
                 {"size", base->size},
                 {"depth", archive.base_depth()}};
  }
  if (has_forms(archive)) j["forms"] = form_table(archive, details).json();
  j["files"] = Json::array();
  for (const FileInfo& f : archive.files()) j["files"].push_back(file_json(f));
  j["tensors"] = Json::array();
  for (size_t t = 0; t < details.all.size(); ++t)
    j["tensors"].push_back(tensor_json(archive, t, details.all[t]));
  return j;
}

std::string files_metadata(const Archive& archive) {
  std::string s;
  for (const FileInfo& f : archive.files()) {
    if (!f.metadata.empty()) s += fmt::format("\n{}\n{}", f.path, metadata_text(f.metadata));
  }
  return s;
}

}  // namespace

void inspect_archive(const InspectArguments& a) {
  archive::OpenOptions options;
  options.bases = to_paths(a.bases);
  const OpenedArchive opened = open_archive(a.input, options);
  const Archive& archive = opened.archive;
  const Details details = details_of(archive);
  if (a.json) {
    Json j = to_json(archive, details, opened.label, a.input);
    if (a.planes) j["planes"] = planes_of(archive).json();
    return print_json(j);
  }
  std::string s = heading(archive, opened.label) + ModelFacts(a.input).text() + "\n";
  s += file_table(archive);
  const std::string tensors =
      a.tensors ? tensor_table(archive, details) : dtype_table(regions_of(archive), details.stored);
  if (!tensors.empty()) s.append("\n").append(tensors);
  if (has_forms(archive)) s.append("\n").append(form_table(archive, details).text());
  if (a.metadata) s += files_metadata(archive);
  if (a.planes) s.append("\n").append(planes_of(archive).text());
  write_stdout(s);
}

}  // namespace pith::command
