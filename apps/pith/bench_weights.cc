// Weights with losses: what is left of a model at each size, beside llama.cpp's quantized files.
#include "bench_weights.h"

#include <algorithm>
#include <cmath>

#include "bench_data.h"
#include "bench_llama.h"
#include "bench_weights_gguf.h"
#include "bench_weights_measure.h"
#include "bench_weights_ours.h"
#include "bench_weights_peer.h"
#include "pith/audit/plot.h"
#include "pith/audit/size_curve.h"
#include "pith/base/file.h"
#include "pith/base/hash.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;
using audit::SizedFile;

constexpr const char* kPeer = "llama.cpp";
constexpr const char* kOurs = "pith";
constexpr const char* kCalibration = "text/books-calibration.txt";
constexpr const char* kTexts[] = {"books-test", "wikitext2-test"};
constexpr uint64_t kImportanceWindows = 256;

const std::vector<double> kSizes = {2.1, 2.6, 3.1, 3.5, 4.1, 4.6, 5.5, 6.6, 8.5};

std::string contents(const fs::path& file) {
  const MappedFile mapped(file);
  return {mapped.bytes().begin(), mapped.bytes().end()};
}

struct MeasuredFile {
  std::string method, name;
  uint64_t bytes;
  std::vector<WeightFigures> figures;  // by text
};

std::string interval(const audit::Measured& m, const char* format, double unit = 1) {
  if (!m.interval) return "";
  return fmt::format("{} … {}", fmt::format(fmt::runtime(format), m.interval->low * unit),
                     fmt::format(fmt::runtime(format), m.interval->high * unit));
}

Cell kl_cell(const audit::Measured& m) { return {fmt::format("{:.3g}", m.mean), m.mean}; }

class WeightsBench {
 public:
  WeightsBench(const Options& options, Report& report, WeightInputs inputs, fs::path folder)
      : options_(options),
        report_(report),
        inputs_(std::move(inputs)),
        folder_(std::move(folder)),
        measurer_(inputs_.model, texts(), options.windows, folder_) {}

  void run() {
    describe();
    ours();
    if (has_llama()) peers();
    for (size_t t = 0; t < measurer_.texts().size(); ++t) {
      at_sizes(t);
      plot(t);
    }
    for (size_t t = 0; t < measurer_.texts().size(); ++t) everything(t);
  }

 private:
  static std::vector<TextSample> texts() {
    std::vector<TextSample> samples;
    for (const char* name : kTexts) {
      samples.push_back({name, contents(shared_data() / "text" / fmt::format("{}.txt", name))});
    }
    return samples;
  }

  void describe() {
    report_.section("The reference model at every size");
    report_.note(fmt::format(
        "{} weights in bf16; bits: 8 times the bytes of the whole file for each, without the "
        "vocabulary, which is the same in all",
        measurer_.weights()));
    report_.note(fmt::format(
        "KL: of the file's predictions from the model's, nats for a token, and how often both "
        "think the same token most probable; {} windows of 512 predictions of each text, bos in "
        "front of each, every matrix decoded to f32; intervals of 95% by resampling windows",
        options_.windows));
    report_.note(fmt::format(
        "calibration, ours and the importance matrices (+im: {} windows of 512), is from {} only; "
        "pure: every matrix in the one type, by llama-quantize's --pure",
        kImportanceWindows, fs::path(kCalibration).filename().string()));
    for (size_t t = 0; t < measurer_.texts().size(); ++t) {
      report_.note(fmt::format("the model itself on {}: perplexity {:.4f} ± {:.4f}",
                               measurer_.texts()[t].name, measurer_.reference(t).perplexity(),
                               measurer_.reference(t).perplexity_error().value_or(0)));
    }
  }

  template <class F>
  void add(const std::string& method, const std::string& name, const fs::path& file,
           const F& decode) {
    report_.status(fmt::format("measuring {} {}", method, name));
    files_.push_back({method, name, fs::file_size(file), measurer_.measure(file, decode)});
  }

  // The archives are of this very program: made again with each.
  void ours() {
    for (const auto& method : weight_methods(options_, inputs_)) {
      report_.status(fmt::format("making files of {}", method->name()));
      const fs::path folder =
          folder_ / fmt::format("ours-{:016x}", hash64(as_bytes(method->name())));
      fs::remove_all(folder);
      fs::create_directories(folder);
      try {
        for (const MadeFile& f : method->make(kSizes, measurer_.weights(), folder)) {
          add(method->name(), f.name, f.path, [&] { return f.path; });
        }
        methods_.push_back(method->name());
      } catch (const Error& e) {
        report_.note(fmt::format("{}: {}", method->name(), e.what()));
      }
    }
  }

  void peers() {
    PeerQuantizer peer(inputs_, kImportanceWindows, folder_ / "llama.cpp");
    for (const PeerMix& mix : peer_mixes(options_)) {
      report_.status(fmt::format("llama.cpp: {}", mix.name()));
      try {
        const fs::path file = peer.make(mix);
        add(kPeer, mix.name(), file, [&] { return peer.decoded(file); });
      } catch (const Error& e) {
        report_.note(fmt::format("{}: {}", mix.name(), e.what()));
      }
    }
  }

  double bits(const MeasuredFile& f) const {
    return 8.0 * static_cast<double>(f.bytes) / static_cast<double>(measurer_.weights());
  }

  std::vector<SizedFile> sized(size_t text) const {
    std::vector<SizedFile> files;
    for (const MeasuredFile& f : files_) {
      files.push_back({f.method, f.name, f.bytes, bits(f), f.figures[text].kl.mean});
    }
    return files;
  }

  std::vector<Cell> cells(std::optional<size_t> file, size_t text) const {
    if (!file) return {none(), none(), none(), none()};
    const WeightFigures& f = files_[*file].figures[text];
    return {number(bits(files_[*file]), 3), kl_cell(f.kl), number(f.perplexity, 3),
            number(100 * f.same_best.mean, 2)};
  }

  // The best of each that somebody with so much room can take.
  void at_sizes(size_t text) {
    report_.section(fmt::format("The best file of at most so many bits a weight: {}",
                                measurer_.texts()[text].name));
    std::vector<std::string> columns = {"at most",
                                        "GGUF",
                                        "bits",
                                        "KL",
                                        "perplexity",
                                        "same top %",
                                        "pith",
                                        "pith KL",
                                        "pith perplexity",
                                        "pith same top %",
                                        "KL, pith to GGUF"};
    for (const std::string& m : methods_) {
      if (m != kOurs) columns.push_back("KL, " + m);
    }
    Table table(columns);
    const std::vector<SizedFile> files = sized(text);
    for (const double size : kSizes) {
      const auto peer = audit::best_within(files, kPeer, size);
      const auto own = audit::best_within(files, kOurs, size);
      std::string name = peer ? files[*peer].name : "";
      if (peer && files[*peer].bits > size) name += " (its smallest)";
      std::vector<Cell> row = {number(size, 1), bench::text(name)};
      std::ranges::copy(cells(peer, text), std::back_inserter(row));
      std::ranges::copy(cells(own, text), std::back_inserter(row));
      row.push_back(peer && own && files[*peer].loss > 0
                        ? number(files[*own].loss / files[*peer].loss, 3)
                        : none());
      for (const std::string& m : methods_) {
        if (m == kOurs) continue;
        const auto other = audit::best_within(files, m, size);
        const bool fits = other && files[*other].bits <= size;
        row.push_back(fits ? kl_cell(files_[*other].figures[text].kl) : none());
      }
      table.add(std::move(row));
    }
    report_.table(table);
  }

  void everything(size_t text) {
    report_.section(fmt::format("Every file: {}", measurer_.texts()[text].name));
    Table table({"file", "of", "bytes", "bits", "KL", "95%", "perplexity", "±", "same top %",
                 "same top 95%"});
    std::vector<size_t> order(files_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::stable_sort(order, {}, [&](size_t i) { return files_[i].bytes; });
    for (const size_t i : order) {
      const WeightFigures& f = files_[i].figures[text];
      table.add({bench::text(files_[i].name), bench::text(files_[i].method), count(files_[i].bytes),
                 number(bits(files_[i]), 3), kl_cell(f.kl), bench::text(interval(f.kl, "{:.3g}")),
                 number(f.perplexity, 4), number(f.perplexity_error, 3),
                 number(100 * f.same_best.mean, 2),
                 bench::text(interval(f.same_best, "{:.2f}", 100))});
    }
    report_.table(table);
  }

  audit::PlotLine line(const std::vector<SizedFile>& files, size_t text, const std::string& method,
                       const std::string& name, bool labels) const {
    audit::PlotLine line{name, {}};
    for (const size_t i : audit::frontier(files, method)) {
      line.points.push_back({files[i].bits, files[i].loss, files_[i].figures[text].kl.interval,
                             labels ? files[i].name : ""});
    }
    return line;
  }

  void plot(size_t text) {
    const std::vector<SizedFile> files = sized(text);
    audit::Plot plot{.title = fmt::format("What compression loses: the reference model on {}",
                                          measurer_.texts()[text].name),
                     .x_label = "bits a weight, whole file",
                     .y_label = "KL divergence from the bf16 model, nats a token",
                     .log_y = true,
                     .lines = {}};
    plot.lines.push_back(line(files, text, kOurs, kOurs, false));
    plot.lines.push_back(line(files, text, kPeer, "llama.cpp, best of a size", true));
    audit::PlotLine others{"llama.cpp, other files", {}, false};
    const auto best = audit::frontier(files, kPeer);
    for (size_t i = 0; i < files.size(); ++i) {
      if (files[i].method != kPeer || std::ranges::find(best, i) != best.end()) continue;
      others.points.push_back({files[i].bits, files[i].loss, {}, files[i].name});
    }
    plot.lines.push_back(std::move(others));
    constexpr size_t kMost = 10;
    for (const std::string& m : methods_) {
      if (m != kOurs && plot.lines.size() < kMost) {
        plot.lines.push_back(line(files, text, m, m, false));
      }
    }
    std::erase_if(plot.lines, [](const audit::PlotLine& l) { return l.points.empty(); });
    const fs::path file = fs::path(options_.plots.empty() ? folder_.string() : options_.plots) /
                          fmt::format("weights-{}.svg", measurer_.texts()[text].name);
    fs::create_directories(file.parent_path());
    write_file(file, as_bytes(audit::to_svg(plot)), true);
    report_.note("plot: " + file.string());
  }

  const Options& options_;
  Report& report_;
  WeightInputs inputs_;
  fs::path folder_;
  WeightMeasurer measurer_;
  std::vector<MeasuredFile> files_;
  std::vector<std::string> methods_;  // ours
};

WeightInputs reference_inputs(const fs::path& folder) {
  const fs::path model = reference_model().parent_path(), bare = folder / "model";
  fs::create_directories(bare);
  for (const char* name : {"config.json", "model.safetensors"}) {
    fs::copy_file(model / name, bare / name, fs::copy_options::overwrite_existing);
  }
  return {model, bare, shared_data() / kCalibration};
}

// Files are used again only for the same model and calibration.
fs::path folder_for(const fs::path& data) {
  Hasher128 hasher;
  for (const fs::path& file : {reference_model(), shared_data() / kCalibration}) {
    const MappedFile mapped(file);
    hasher.update(mapped.bytes());
  }
  return data / "weights" / hasher.digest().hex().substr(0, 16);
}

std::optional<std::string> missing_text() {
  std::vector<std::string> names = {kCalibration};
  for (const char* t : kTexts) names.push_back(fmt::format("text/{}.txt", t));
  for (const std::string& name : names) {
    if (!fs::exists(shared_data() / name)) return (shared_data() / name).string();
  }
  return {};
}

}  // namespace

void bench_weights(const Options& options) {
  Report report("weights", options.json);
  const fs::path data = options.data;
  fs::create_directories(data);
  if (!has_llama()) report.note(llama_hint());
  const auto wanted = [&](const char* part) {
    return options.parts.empty() || std::ranges::find(options.parts, part) != options.parts.end();
  };
  if (const auto missing = missing_text()) {
    report.note(fmt::format("skipped the reference model: {} is missing; set PITH_DATA", *missing));
  } else {
    const fs::path folder = folder_for(data);
    const WeightInputs inputs = reference_inputs(folder);
    if (wanted("curve")) WeightsBench(options, report, inputs, folder).run();
    if (wanted("gguf") && has_llama()) {
      bench_gguf(options, inputs, kImportanceWindows, folder, report);
    }
  }
  if (wanted("gaussian")) bench_gaussian(options, data, report);
  report.finish();
}

}  // namespace pith::bench
