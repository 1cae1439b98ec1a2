#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "bench.h"
#include "bench_data.h"
#include "bench_ours.h"
#include "bench_peers.h"
#include "bench_report.h"
#include "bench_rows.h"
#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/base/file.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;
using lossless::Level;

// One checkpoint coded against the one before it. Both lie in one layout, so that the base of every
// byte is the byte at the same place.
class DeltaRun {
 public:
  DeltaRun(const fs::path& base, const fs::path& next, const Options& options, Report& report,
           const Scratch& scratch)
      : base_path_(base),
        path_(next),
        options_(options),
        report_(report),
        scratch_(scratch),
        base_(read_file(base)),
        raw_(read_file(next)),
        layout_(io::describe(raw_, next).layout),
        rows_(next, options, report) {}

  void run() {
    const io::Layout before = io::describe(base_, base_path_).layout;
    if (base_.size() != raw_.size() || before.tensors != layout_.tensors) {
      report_.note("skipped: the two checkpoints have different layouts");
      return;
    }
    for (const Level level : {Level::kFast, Level::kDefault, Level::kMax}) ours(level, true);
    for (const Level level : {Level::kDefault, Level::kMax}) ours(level, false);
    through_archive(Level::kDefault);
    if (has_zipnn())
      rows_.add(zipnn("ZipNN delta", "bf16", path_.string(), base_path_.string(), options_.runs,
                      options_.clock));
    rows_.measure(*xor_zstd_codec("XOR + zstd -3", 3, base_), raw_);
    if (!options_.quick) rows_.measure(*xor_zstd_codec("XOR + zstd -19", 19, base_), raw_);
    print();
  }

 private:
  void ours(Level level, bool with_base) {
    Ours codec(fmt::format("pith {}{}", level_name(level), with_base ? " --base" : ""),
               cut(layout_.tensors, raw_.size(), level), level,
               with_base ? ByteView(base_) : ByteView());
    rows_.measure(codec, raw_);
  }

  void through_archive(Level level) {
    const auto target = scratch_ / "delta.pith", restored = scratch_ / "restored";
    const fs::path inputs[] = {path_}, bases[] = {base_path_};
    Measurement m{
        fmt::format("pith {} --base, file to file", level_name(level)), raw_.size(), 0, 0, 0, ""};
    m.encode = best_of(options_.runs, [&] {
      const archive::WriteOptions write{level, 1, true, archive::open_base(bases), {}};
      m.coded = archive::write_archive(archive::expand_inputs(inputs), target, write).stored;
    });
    m.decode = best_of(options_.runs, [&] {
      archive::Archive::open(target, {{base_path_}}).extract_file(0, restored, {1, true, {}});
    });
    if (read_file(restored) != raw_)
      fail(ErrorKind::kData, "{}: a delta does not give the bytes back", path_.string());
    rows_.add(std::move(m));
  }

  void print() {
    const std::string reference = "pith default --base";
    rows_.print(reference);
    const auto ours = static_cast<double>(rows_.find(reference)->coded);
    for (const Measurement& m : rows_.all()) {
      if (!m.name.starts_with("XOR") && !m.name.starts_with("ZipNN")) continue;
      report_.note(fmt::format("{} is {:.1f}% smaller than {}", reference,
                               (1 - ours / static_cast<double>(m.coded)) * 100, m.name));
    }
  }

  fs::path base_path_, path_;
  const Options& options_;
  Report& report_;
  const Scratch& scratch_;
  Bytes base_, raw_;
  io::Layout layout_;
  CodecRows rows_;
};

std::vector<fs::path> checkpoints() {
  const fs::path folder = shared_data() / "lm/checkpoints";
  std::vector<fs::path> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (entry.path().extension() == ".safetensors") found.push_back(entry.path());
  }
  std::ranges::sort(found);
  found.push_back(reference_model());
  return found;
}

}  // namespace

void bench_delta(const Options& options) {
  Report report("delta", options.json);
  report.note(rules(options));
  if (!has_zipnn()) report.note("not measured: " + zipnn_hint());
  const std::vector<fs::path> series = checkpoints();
  if (series.size() < 2) {
    report.note(
        fmt::format("no checkpoints in {}: set PITH_DATA to the folder that has lm/checkpoints",
                    (shared_data() / "lm/checkpoints").string()));
  }
  const Scratch scratch(options);
  for (size_t i = 1; i < series.size(); ++i) {
    report.section(fmt::format("{} given {}", series[i].filename().string(),
                               series[i - 1].filename().string()));
    DeltaRun(series[i - 1], series[i], options, report, scratch).run();
  }
  report.finish();
}

}  // namespace pith::bench
