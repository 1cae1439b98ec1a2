#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "bench.h"
#include "bench_data.h"
#include "bench_ours.h"
#include "bench_peers.h"
#include "bench_report.h"
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
        back_(raw_.size()),
        layout_(io::describe(raw_, next).layout) {}

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
      add(zipnn("ZipNN delta", "bf16", path_.string(), base_path_.string(), options_.runs,
                options_.clock));
    add(measured(*xor_zstd_codec("XOR + zstd -3", 3, base_)));
    if (!options_.quick) add(measured(*xor_zstd_codec("XOR + zstd -19", 19, base_)));
    print();
  }

 private:
  void add(Measurement m) {
    if (m.error.empty())
      rows_.push_back(std::move(m));
    else
      report_.note(fmt::format("{}: {}", m.name, m.error));
  }

  Measurement measured(Codec& codec) {
    report_.status(fmt::format("{}: {}", path_.filename().string(), codec.name()));
    return measure(codec, raw_, back_, options_.runs, options_.clock);
  }

  void ours(Level level, bool with_base) {
    Ours codec(fmt::format("pith {}{}", level_name(level), with_base ? " --base" : ""),
               cut(layout_.tensors, raw_.size(), level), level,
               with_base ? ByteView(base_) : ByteView());
    add(measured(codec));
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
    add(std::move(m));
  }

  void print() {
    const auto reference = std::ranges::find(rows_, "pith default --base", &Measurement::name);
    const auto ours = static_cast<double>(reference->coded);
    Table table({"codec", "bytes", "ratio", "compress MB/s", "decompress MB/s",
                 "size to pith default --base"});
    for (const Measurement& m : rows_) {
      const auto coded = static_cast<double>(m.coded);
      table.add({text(m.name), count(m.coded), ratio(static_cast<double>(m.raw) / coded),
                 rate(m.raw, m.encode), rate(m.raw, m.decode), change(ours, coded)});
    }
    report_.table(table);
    for (const Measurement& m : rows_) {
      if (!m.name.starts_with("XOR") && !m.name.starts_with("ZipNN")) continue;
      report_.note(fmt::format("pith default --base is {:.1f}% smaller than {}",
                               (1 - ours / static_cast<double>(m.coded)) * 100, m.name));
    }
  }

  fs::path base_path_, path_;
  const Options& options_;
  Report& report_;
  const Scratch& scratch_;
  Bytes base_, raw_, back_;
  io::Layout layout_;
  std::vector<Measurement> rows_;
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
