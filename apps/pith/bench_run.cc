#include <fcntl.h>
#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bench.h"
#include "bench_child.h"
#include "bench_data.h"
#include "bench_llama.h"
#include "bench_models.h"
#include "bench_report.h"
#include "pith/base/parallel.h"
#include "pith/model/export_gguf.h"
#include "pith/model/session.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr DType kTypes[] = {DType::kQ8_0, DType::kQ6_K, DType::kQ4_K, DType::kQ4_0,
                            DType::kQ2_K, DType::kF16,  DType::kBF16};

// Forms that GGUF does not know, and the type that llama.cpp runs in their place.
struct OwnForm {
  const char* name;
  const char* expression;
  DType peer;
};
constexpr OwnForm kForms[] = {{"uniform8", "uniform(8, group=32)", DType::kQ8_0},
                              {"uniform6", "uniform(6, group=64)", DType::kQ6_K},
                              {"uniform4", "uniform(4, group=32)", DType::kQ4_0},
                              {"uniform2", "uniform(2, group=32)", DType::kQ2_K},
                              {"lossless", "dense(bf16) > exponent", DType::kBF16}};

struct Ours {
  double prefill = 0, decode = 0;
  uint64_t bytes = 0;  // of all weights
};

// The same ids and the same steps as tools/peer_llama_cpp.py.
Ours ours(const fs::path& file, const SpeedRun& run) {
  const model::LanguageModel model = model::load_model(file, {.tokenizer = false});
  const auto longest = static_cast<uint64_t>(std::max(run.prefill, run.decode));
  model::Session session(model, longest + 64, run.threads);
  Ours result;
  result.bytes = model.weight_bytes();
  std::vector<int32_t> ids(longest);
  for (size_t k = 0; k < ids.size(); ++k) {
    ids[k] = static_cast<int32_t>((7919 * k + 13) % model.config().vocabulary);
  }
  session.feed(std::span(ids).first(8));  // reads the file
  double prefill = INFINITY, decode = INFINITY;
  for (int i = 0; i < run.runs; ++i) {
    session.rewind(0);
    prefill = std::min(prefill, time_of([&] {
                         session.feed(std::span(ids).first(static_cast<size_t>(run.prefill)));
                       }));
    session.rewind(0);
    decode = std::min(decode, time_of([&] {
                        for (int k = 0; k < run.decode; ++k) {
                          session.feed(std::span(ids).subspan(static_cast<size_t>(k), 1));
                        }
                      }));
  }
  result.prefill = run.prefill / prefill;
  result.decode = run.decode / decode;
  return result;
}

void export_reference(DType type, const fs::path& file) {
  if (fs::exists(file)) return;
  fs::create_directories(file.parent_path());
  model::export_gguf(reference_model().parent_path(), file, {.type = type, .threads = 0});
}

// The pages of a file that nobody has mapped leave memory.
void forget(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  ::close(fd);
}

double first_token(const fs::path& file) {
  return time_of([&] {
    const model::LanguageModel model = model::load_model(file, {.tokenizer = false});
    model::Session session(model, 64, 0);
    session.feed(std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7, 8});
  });
}

double read_once(const fs::path& file) {
  Bytes piece(size_t{1} << 20);
  return time_of([&] {
    std::ifstream in(file, std::ios::binary);
    while (in.read(reinterpret_cast<char*>(piece.data()),
                   static_cast<std::streamsize>(piece.size()))) {
    }
  });
}

class RunBench {
 public:
  RunBench(const Options& options, Report& report) : options_(options), report_(report) {}

  void billion() {
    report_.section("A model of the shape of Llama 3.2 1B (1.04 G weights)");
    Table table(columns());
    for (const DType type : wanted_types()) {
      const fs::path file = made("billion-", type, make_billion);
      rows(table, std::string(info(type).name), file, file, large());
      files_.push_back(file);
    }
    for (const OwnForm& form : kForms) {
      if (!wanted(form.name)) continue;
      const fs::path peer = made("billion-", form.peer, make_billion);
      const fs::path file = path(fmt::format("billion-{}.pith", form.name));
      const fs::path source = made("billion-", DType::kBF16, make_billion);
      report_.status("making " + file.string());
      make([&] { make_billion_form(form.expression, source, file); });
      rows(table, form.expression, file, peer, large());
      files_.push_back(file);
    }
    report_.table(table);
  }

  void reference() {
    report_.section("The reference model (7.3 M weights, all in the cache)");
    Table table(columns());
    for (const DType type : wanted_types()) {
      const fs::path file = made("reference-", type, export_reference);
      rows(table, std::string(info(type).name), file, file, small());
    }
    report_.table(table);
  }

  // Files that are not in memory: the first token against reading all bytes once.
  void start() {
    report_.section("The first token after eight of a prompt, from files that are not in memory");
    Table table({"file", "bytes", "reading s", "first token s", "ratio"});
    for (const fs::path& file : files_) {
      report_.status(file.string());
      const auto cold = [&](double (*work)(const fs::path&)) {
        double best = INFINITY;
        Usage ignored;
        for (int i = 0; i < 3; ++i) {
          forget(file);
          best = std::min(best, in_child([&] { return work(file); }, ignored));
        }
        return best;
      };
      const double reading = cold(read_once), first = cold(first_token);
      table.add({text(file.filename().string()), count(fs::file_size(file)), number(reading, 3),
                 number(first, 3), number(first / reading, 2)});
    }
    report_.table(table);
  }

 private:
  static std::vector<std::string> columns() {
    return {"weights",   "bytes",     "threads",     "generate tok/s",
            "GB/s",      "llama.cpp", "ratio",       "prompt of 512 tok/s",
            "llama.cpp", "ratio",     "resident MiB"};
  }
  int runs() const { return std::min(options_.runs, options_.quick ? 1 : 3); }
  SpeedRun large() const {
    return {1, options_.quick ? 128 : 512, options_.quick ? 8 : 32, runs()};
  }
  SpeedRun small() const { return {1, 512, 128, std::max(runs(), 3)}; }

  bool wanted(const std::string& name) const {
    return fnmatch(options_.files.c_str(), name.c_str(), 0) == 0;
  }
  std::vector<DType> wanted_types() const {
    std::vector<DType> types;
    std::ranges::copy_if(kTypes, std::back_inserter(types),
                         [&](DType t) { return wanted(std::string(info(t).name)); });
    return types;
  }
  fs::path path(const std::string& name) const { return fs::path(options_.data) / name; }

  // In a process of its own, so that memory is as it was.
  template <class F>
  void make(const F& work) {
    Usage ignored;
    in_child([&] { return work(), 0; }, ignored);
  }
  fs::path made(const std::string& prefix, DType type, void (*maker)(DType, const fs::path&)) {
    const fs::path file = path(fmt::format("{}{}.gguf", prefix, info(type).name));
    report_.status("making " + file.string());
    make([&] { maker(type, file); });
    return file;
  }

  void rows(Table& table, const std::string& name, const fs::path& file, const fs::path& peer,
            SpeedRun run) {
    for (const int threads : {1, 2}) {
      if (threads > thread_count(0)) continue;
      run.threads = threads;
      add_row(table, name, file, peer, run);
    }
  }

  void add_row(Table& table, const std::string& name, const fs::path& file, const fs::path& peer,
               const SpeedRun& run) {
    report_.status(fmt::format("{}, {} threads", file.string(), run.threads));
    Usage usage;
    const Ours a = in_child([&] { return ours(file, run); }, usage);
    const ModelSpeed b = has_llama() ? llama(peer, run) : ModelSpeed{};
    if (!b.error.empty()) report_.note(fmt::format("{}: llama.cpp: {}", name, b.error));
    const auto against = [](double own, double other) {
      return other > 0 ? number(own / other, 2) : none();
    };
    const auto speed = [](double v) { return v > 0 ? number(v, v < 100 ? 2 : 0) : none(); };
    table.add({text(name), count(fs::file_size(file)), count(static_cast<uint64_t>(run.threads)),
               speed(a.decode), number(static_cast<double>(a.bytes) * a.decode / 1e9, 1),
               speed(b.decode), against(a.decode, b.decode), speed(a.prefill), speed(b.prefill),
               against(a.prefill, b.prefill), count(usage.peak >> 20)});
  }

  const Options& options_;
  Report& report_;
  std::vector<fs::path> files_;  // of the large model
};

}  // namespace

void bench_run(const Options& options) {
  Report report("run", options.json);
  report.note(
      "ids one by one from an empty context; the best of some runs after the file was read; GB/s: "
      "bytes of all weights for each id generated; ratio: ours to llama.cpp's, which runs the GGUF "
      "type of as many bits where the form is ours; resident: at most, with what is mapped of the "
      "file");
  if (!has_llama()) report.note(llama_hint());
  RunBench bench(options, report);
  bench.billion();
  bench.reference();
  bench.start();
  report.finish();
}

}  // namespace pith::bench
