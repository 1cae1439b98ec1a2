#include "bench_data.h"

#include <fmt/core.h>
#include <fnmatch.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "pith/base/file.h"
#include "pith/io/layout.h"
#include "pith/io/write.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

const char* python() { return fs::exists("/usr/bin/python3") ? "/usr/bin/python3" : "python3"; }

void prepare(const std::string& folder, Report& report) {
  if (!fs::exists("tools/bench_data.py")) {
    report.note("tools/bench_data.py is not here: run from the repository, or with --no-prepare");
    return;
  }
  report.status("preparing data");
  const std::string command = fmt::format("{} tools/bench_data.py '{}'", python(), folder);
  if (std::system(command.c_str()) != 0) report.note("failed: " + command);
}

Bytes perturbed(ByteView raw, uint64_t seed) {
  Bytes out(raw.begin(), raw.end());
  uint64_t state = seed * 0x9e3779b97f4a7c15 + 1;
  for (size_t i = 0; i + 8 <= out.size(); i += 8) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    store_le(&out[i], load_le<uint64_t>(&out[i]) ^ (state & 0x0001000100010001));
  }
  return out;
}

}  // namespace

std::vector<DataSet> data_sets(const Options& options, Report& report) {
  if (options.prepare) prepare(options.data, report);
  const fs::path folder = options.data;
  std::ifstream file(folder / "manifest.json");
  const auto manifest = nlohmann::json::parse(file, nullptr, false);
  if (!manifest.is_object()) {
    fail(ErrorKind::kIo, "{}: no manifest.json; run tools/bench_data.py {}", options.data,
         options.data);
  }
  std::vector<DataSet> sets;
  for (const auto& set : manifest.at("sets")) {
    const std::string name = set.at("file");
    if (fnmatch(options.files.c_str(), name.c_str(), 0) != 0) continue;
    sets.push_back({folder / name, set.at("zipnn"), set.at("about")});
  }
  for (const auto& missing : manifest.at("skipped")) {
    report.note(fmt::format("skipped {}: {}", missing.at("file").get<std::string>(),
                            missing.at("why").get<std::string>()));
  }
  if (sets.empty()) report.note(fmt::format("no data set matches {}", options.files));
  return sets;
}

std::string rules(const Options& options) {
  return fmt::format(
      "in memory and on one thread{}; the best of {} runs (of slow ones: as many as fit in 3 s); "
      "MB = 10^6 bytes",
      options.clock == Clock::kCpu ? ", CPU time" : "", options.runs);
}

fs::path shared_data() {
  const char* const folder = std::getenv("PITH_DATA");
  return folder != nullptr && *folder != '\0' ? fs::path(folder) : fs::path("../shared/data");
}

fs::path reference_model() {
  for (const fs::path& path :
       {fs::path("data/lm/model.safetensors"), shared_data() / "lm/model.safetensors"}) {
    if (fs::exists(path)) return path;
  }
  fail(ErrorKind::kIo,
       "data/lm/model.safetensors: not found; run from the repository or set PITH_DATA");
}

Scratch::Scratch(const Options& options) {
  const fs::path parent = options.work.empty() ? fs::temp_directory_path() : fs::path(options.work);
  std::string name = parent / "pith-bench-XXXXXX";
  if (mkdtemp(name.data()) == nullptr)
    fail(ErrorKind::kIo, "{}: cannot make a folder there", parent.string());
  folder_ = name;
}

Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

fs::path reference_networks() { return reference_model().parent_path().parent_path() / "networks"; }

void write_perturbed_copies(const fs::path& model, uint64_t size, const fs::path& to) {
  const MappedFile file(model);
  const io::Layout layout = io::describe(file.bytes(), model).layout;
  uint64_t each = 0;
  for (const auto& t : layout.tensors) each += t.size;
  const uint64_t copies = each == 0 ? 0 : (size + each - 1) / each;
  std::vector<io::TensorInfo> tensors;
  std::vector<ByteView> sources;
  for (uint64_t copy = 0; copy < copies; ++copy) {
    for (const auto& t : layout.tensors) {
      tensors.push_back({fmt::format("copy{:02}.{}", copy, t.name), t.dtype, t.shape});
      sources.push_back(file.bytes().subspan(t.offset, t.size));
    }
  }
  AtomicFile out(to, true);
  out.write(io::safetensors_header(tensors));
  for (const size_t i : io::safetensors_order(tensors)) out.write(perturbed(sources[i], i + 1));
  out.commit();
}

}  // namespace pith::bench
