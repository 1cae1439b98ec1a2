#include <fnmatch.h>

#include <filesystem>

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

struct Ours {
  double load = 0, prefill = 0, decode = 0;
  uint64_t bytes = 0;  // of all weights
};

// The same ids and the same steps as tools/peer_llama_cpp.py.
Ours ours(const fs::path& file, const SpeedRun& run) {
  const double start = now();
  const model::LanguageModel model = model::load_model(file, {.tokenizer = false});
  const auto longest = static_cast<uint64_t>(std::max(run.prefill, run.decode));
  model::Session session(model, longest + 64, run.threads);
  Ours result;
  result.load = now() - start;
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

class RunBench {
 public:
  RunBench(const Options& options, Report& report) : options_(options), report_(report) {}

  void models(const std::string& title, const std::string& prefix, const SpeedRun& base,
              void (*make)(DType, const fs::path&)) {
    report_.section(title);
    Table table({"type", "bytes", "threads", "generate tok/s", "GB/s", "llama.cpp", "ratio",
                 "prompt of 512 tok/s", "llama.cpp", "ratio", "load s", "llama.cpp"});
    for (const DType type : kTypes) {
      const std::string name(info(type).name);
      if (fnmatch(options_.files.c_str(), name.c_str(), 0) != 0) continue;
      const fs::path file = fs::path(options_.data) / (prefix + name + ".gguf");
      report_.status("making " + file.string());
      Usage ignored;
      in_child([&] { return make(type, file), 0; }, ignored);
      for (const int threads : {1, 2}) {
        if (threads > thread_count(0)) continue;
        SpeedRun run = base;
        run.threads = threads;
        add_row(table, name, file, run);
      }
    }
    report_.table(table);
  }

 private:
  void add_row(Table& table, const std::string& name, const fs::path& file, const SpeedRun& run) {
    report_.status(fmt::format("{}, {} threads", file.string(), run.threads));
    Usage ignored;
    const Ours a = in_child([&] { return ours(file, run); }, ignored);
    const ModelSpeed b = has_llama() ? llama(file, run) : ModelSpeed{};
    if (!b.error.empty()) report_.note(fmt::format("{}: llama.cpp: {}", name, b.error));
    const auto against = [](double own, double other) {
      return other > 0 ? number(own / other, 2) : none();
    };
    const auto speed = [](double v) { return v > 0 ? number(v, v < 100 ? 2 : 0) : none(); };
    table.add({text(name), count(fs::file_size(file)), count(static_cast<uint64_t>(run.threads)),
               speed(a.decode), number(static_cast<double>(a.bytes) * a.decode / 1e9, 1),
               speed(b.decode), against(a.decode, b.decode), speed(a.prefill), speed(b.prefill),
               against(a.prefill, b.prefill), number(a.load, 3),
               b.load > 0 ? number(b.load, 3) : none()});
  }

  const Options& options_;
  Report& report_;
};

void export_reference(DType type, const fs::path& file) {
  if (fs::exists(file)) return;
  fs::create_directories(file.parent_path());
  model::export_gguf(reference_model().parent_path(), file, {.type = type, .threads = 0});
}

}  // namespace

void bench_run(const Options& options) {
  Report report("run", options.json);
  const int runs = std::min(options.runs, options.quick ? 1 : 3);
  const SpeedRun large{1, options.quick ? 128 : 512, options.quick ? 8 : 32, runs};
  const SpeedRun small{1, 512, 128, std::max(runs, 3)};
  report.note(fmt::format(
      "ids one by one from an empty context; the best of {} runs after the file was read; GB/s: "
      "bytes of all weights for each id generated; ratio: ours to llama.cpp's",
      runs));
  if (!has_llama()) report.note(llama_hint());
  RunBench bench(options, report);
  bench.models("A model of the shape of Llama 3.2 1B (1.04 G weights)", "billion-", large,
               make_billion);
  bench.models("The reference model (7.3 M weights, all in the cache)", "reference-", small,
               export_reference);
  report.finish();
}

}  // namespace pith::bench
