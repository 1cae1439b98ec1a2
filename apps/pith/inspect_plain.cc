#include <algorithm>
#include <deque>

#include "form_table.h"
#include "inspect.h"
#include "units.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;

struct PlainFile {
  PlainFile(std::string shown, const fs::path& path)
      : name(std::move(shown)), file(path), description(io::describe(file.bytes(), path)) {}

  std::string name;
  MappedFile file;
  io::Description description;
};

// In ascending order; not those of folders below.
std::vector<fs::path> files_in(const std::string& folder) {
  std::vector<fs::path> inside;
  std::error_code failed, broken_link;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    if (it->is_regular_file(broken_link)) inside.push_back(it->path());
  }
  if (failed) fail(ErrorKind::kIo, "{}: {}", folder, failed.message());
  std::ranges::sort(inside);
  return inside;
}

// A file, or those of a folder that hold tensors.
struct PlainInput {
  explicit PlainInput(const std::string& path) : folder(fs::is_directory(path)) {
    if (!folder) {
      files.emplace_back(path, path);
      return;
    }
    for (const fs::path& p : files_in(path)) {
      files.emplace_back(p.filename().string(), p);
      if (files.back().description.layout.tensors.empty()) files.pop_back();
    }
    if (files.empty()) fail(ErrorKind::kData, "{}: no file in it holds tensors", path);
  }

  std::vector<io::TensorRegion> tensors() const {
    std::vector<io::TensorRegion> all;
    for (const PlainFile& f : files) {
      const auto& some = f.description.layout.tensors;
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }

  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const PlainFile& f : files) sum += f.file.bytes().size();
    return sum;
  }

  bool folder;
  std::deque<PlainFile> files;  // which stay where they are
};

std::string tensor_table(const PlainInput& input) {
  std::vector<std::string> headers{"tensor",       "dtype",  "form",   "shape",
                                   ">bits/weight", ">bytes", ">offset"};
  if (input.folder) headers.emplace_back("file");
  Table table(headers);
  uint64_t bytes = 0, weights = 0;
  for (const PlainFile& f : input.files) {
    for (const io::TensorRegion& r : f.description.layout.tensors) {
      std::vector<std::string> cells{
          r.name,
          std::string(info(r.dtype).name) + (r.big_endian ? " (big endian)" : ""),
          form_text(r),
          shape_text(r.shape),
          bits_text(r.size, element_count(r)),
          size_text(r.size),
          fmt::format("{}", r.offset)};
      if (input.folder) cells.push_back(f.name);
      table.row(std::move(cells));
      bytes += r.size;
      weights += element_count(r);
    }
  }
  if (table.empty()) return "";
  table.row({"(together)", "", "", "", bits_text(bytes, weights), size_text(bytes)});
  return table.text();
}

PlaneTable planes_of(const PlainInput& input) {
  PlaneTable planes;
  for (const PlainFile& f : input.files) {
    for (const io::TensorRegion& r : f.description.layout.tensors) {
      planes.add(r, [&] {
        const ByteView bytes = f.file.bytes().subspan(r.offset, r.size);
        return Bytes(bytes.begin(), bytes.end());
      });
    }
  }
  return planes;
}

Json file_json(const PlainFile& f) {
  const io::Description& d = f.description;
  Json j = {{"file", f.name},
            {"format", d.layout.format},
            {"raw", f.file.bytes().size()},
            {"metadata", metadata_json(d.layout.metadata)},
            {"notes", d.layout.notes}};
  j["parts"] = Json::array();
  for (const auto& part : d.parts) j["parts"].push_back(part.generic_string());
  j["companions"] = Json::array();
  for (const auto& companion : d.companions)
    j["companions"].push_back(companion.path.generic_string());
  return j;
}

Json tensor_json(const PlainFile& f, const io::TensorRegion& r) {
  Json form;
  if (const std::string expression = form_text(r); !expression.empty()) {
    form = {{"expression", expression},
            {"bytes", r.size},
            {"bits_per_weight", bits_each(r.size, element_count(r))}};
  }
  return {{"name", r.name},
          {"file", f.name},
          {"dtype", info(r.dtype).name},
          {"form", form},
          {"shape", r.shape},
          {"offset", r.offset},
          {"raw", r.size},
          {"big_endian", r.big_endian}};
}

Json to_json(const InspectArguments& a, const PlainInput& input) {
  Json j = input.folder ? Json{{"folder", a.input}, {"raw", input.bytes()}}
                        : file_json(input.files.front());
  j["model"] = ModelFacts(a.input).json();
  j["total"] = total_json(input.tensors(), {});
  if (input.folder) {
    j["files"] = Json::array();
    for (const PlainFile& f : input.files) j["files"].push_back(file_json(f));
  }
  j["tensors"] = Json::array();
  for (const PlainFile& f : input.files) {
    for (const auto& r : f.description.layout.tensors) j["tensors"].push_back(tensor_json(f, r));
  }
  if (a.planes) j["planes"] = planes_of(input).json();
  return j;
}

std::string heading(const std::string& name, const std::string& format, uint64_t bytes,
                    size_t tensors) {
  return fmt::format("{}: {}, {}, {}\n", name, format, size_text(bytes),
                     count_text(tensors, "tensor"));
}

std::string file_lines(const PlainFile& f) {
  const io::Description& d = f.description;
  std::string s = heading(f.name, d.layout.format, f.file.bytes().size(), d.layout.tensors.size());
  for (const std::string& text : d.layout.notes) s += fmt::format("note: {}\n", text);
  for (const auto& part : d.parts) s += fmt::format("part: {}\n", part.generic_string());
  for (const auto& companion : d.companions)
    s += fmt::format("external data: {}\n", companion.path.generic_string());
  return s;
}

std::string to_text(const InspectArguments& a, const PlainInput& input) {
  const auto tensors = input.tensors();
  std::string s = input.folder ? heading(a.input, "folder", input.bytes(), tensors.size())
                               : file_lines(input.files.front());
  s += ModelFacts(a.input).text();
  if (input.folder) {
    s += '\n';
    for (const PlainFile& f : input.files) s += file_lines(f);
  }
  const std::string table = a.tensors ? tensor_table(input) : dtype_table(tensors, {});
  if (!table.empty()) s.append("\n").append(table);
  for (const PlainFile& f : input.files) {
    const auto& metadata = f.description.layout.metadata;
    if (!a.metadata || metadata.empty()) continue;
    s.append(input.folder ? fmt::format("\n{}\n", f.name) : "\n").append(metadata_text(metadata));
  }
  if (a.planes) s.append("\n").append(planes_of(input).text());
  return s;
}

}  // namespace

void inspect_plain(const InspectArguments& a) {
  const PlainInput input(a.input);
  if (a.json) return print_json(to_json(a, input));
  write_stdout(to_text(a, input));
}

}  // namespace pith::command
