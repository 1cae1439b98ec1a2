#include "inspect.h"
#include "units.h"

namespace pith::command {
namespace {

std::string tensor_table(const std::vector<io::TensorRegion>& tensors) {
  Table table({"tensor", "dtype", "shape", ">bytes", ">offset"});
  for (const io::TensorRegion& r : tensors) {
    table.row({r.name, std::string(info(r.dtype).name) + (r.big_endian ? " (big endian)" : ""),
               shape_text(r.shape), size_text(r.size), fmt::format("{}", r.offset)});
  }
  return table.empty() ? "" : table.text();
}

PlaneTable planes_of(const MappedFile& file, const std::vector<io::TensorRegion>& tensors) {
  PlaneTable planes;
  for (const io::TensorRegion& r : tensors) {
    planes.add(r, [&] {
      const ByteView bytes = file.bytes().subspan(r.offset, r.size);
      return Bytes(bytes.begin(), bytes.end());
    });
  }
  return planes;
}

Json to_json(const InspectArguments& a, const MappedFile& file, const io::Description& d) {
  Json j = {{"file", a.input},
            {"format", d.layout.format},
            {"raw", file.bytes().size()},
            {"metadata", metadata_json(d.layout.metadata)},
            {"notes", d.layout.notes}};
  j["parts"] = Json::array();
  for (const auto& part : d.parts) j["parts"].push_back(part.generic_string());
  j["companions"] = Json::array();
  for (const auto& companion : d.companions)
    j["companions"].push_back(companion.path.generic_string());
  j["tensors"] = Json::array();
  for (const io::TensorRegion& r : d.layout.tensors) {
    j["tensors"].push_back({{"name", r.name},
                            {"dtype", info(r.dtype).name},
                            {"shape", r.shape},
                            {"offset", r.offset},
                            {"raw", r.size},
                            {"big_endian", r.big_endian}});
  }
  return j;
}

std::string heading(const InspectArguments& a, const MappedFile& file, const io::Description& d) {
  std::string s =
      fmt::format("{}: {}, {}, {}\n", a.input, d.layout.format, size_text(file.bytes().size()),
                  count_text(d.layout.tensors.size(), "tensor"));
  for (const std::string& text : d.layout.notes) s += fmt::format("note: {}\n", text);
  for (const auto& part : d.parts) s += fmt::format("part: {}\n", part.generic_string());
  for (const auto& companion : d.companions)
    s += fmt::format("external data: {}\n", companion.path.generic_string());
  return s;
}

}  // namespace

void inspect_plain(const InspectArguments& a) {
  const MappedFile file(a.input);
  const io::Description description = io::describe(file.bytes(), a.input);
  const auto& tensors = description.layout.tensors;
  if (a.json) {
    Json j = to_json(a, file, description);
    if (a.planes) j["planes"] = planes_of(file, tensors).json();
    return print_json(j);
  }
  std::string s = heading(a, file, description);
  const std::string table = a.tensors ? tensor_table(tensors) : dtype_table(tensors, {});
  if (!table.empty()) s.append("\n").append(table);
  if (a.metadata && !description.layout.metadata.empty()) {
    s.append("\n").append(metadata_text(description.layout.metadata));
  }
  if (a.planes) s.append("\n").append(planes_of(file, tensors).text());
  write_stdout(s);
}

}  // namespace pith::command
