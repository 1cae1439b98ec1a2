#include <fmt/core.h>

#include <filesystem>

#include "bench.h"
#include "bench_data.h"
#include "bench_limits.h"
#include "bench_ours.h"
#include "bench_peers.h"
#include "bench_report.h"
#include "bench_rows.h"
#include "bench_summary.h"
#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/base/file.h"

namespace pith::bench {
namespace {

using lossless::Level;
constexpr Level kLevels[] = {Level::kFast, Level::kDefault, Level::kMax};
// The level max codes about 2 MB/s.
constexpr uint64_t kQuickMax = 16 << 20;

// The benchmark of one file.
class LosslessRun {
 public:
  LosslessRun(const DataSet& set, const Options& options, Report& report, const Scratch& scratch)
      : set_(set),
        options_(options),
        report_(report),
        scratch_(scratch),
        file_(set.path),
        raw_(file_.bytes().begin(), file_.bytes().end()),
        layout_(io::describe(file_.bytes(), set.path).layout),
        rows_(set.path, options, report) {}

  void run() {
    const bool no_max = options_.quick && raw_.size() > kQuickMax;
    for (const Level level : kLevels) {
      if (level != Level::kMax || !no_max) ours(level);
    }
    for (const Level level : kLevels) {
      if (level != Level::kMax || !options_.quick) through_archive(level);
    }
    zipnn_rows();
    PeerList peers = general_peers(raw_.size(), options_.quick);
    for (auto& peer : peers.codecs) {
      rows_.measure(*peer, raw_);
      peer.reset();  // its buffers are as large as the file
    }
    for (const std::string& line : peers.missing) report_.note("not measured: " + line);
    print();
  }
  const std::vector<Measurement>& rows() const { return rows_.all(); }

 private:
  void ours(Level level) {
    codecs_.push_back(std::make_unique<Ours>(fmt::format("pith {}", level_name(level)),
                                             cut(layout_.tensors, raw_.size(), level), level));
    rows_.measure(*codecs_.back(), raw_);
  }

  void through_archive(Level level) {
    const auto target = scratch_ / "bench.pith", restored = scratch_ / "restored";
    const std::filesystem::path inputs[] = {set_.path};
    Measurement m{
        fmt::format("pith {}, file to file", level_name(level)), raw_.size(), 0, 0, 0, ""};
    report_.status(m.name);
    const archive::WriteOptions write{level, options_.threads, true, nullptr, {}};
    m.encode = best_of(options_.runs, [&] {
      m.coded = archive::write_archive(archive::expand_inputs(inputs), target, write).stored;
    });
    m.decode = best_of(options_.runs, [&] {
      archive::Archive::open(target).extract_file(0, restored, {options_.threads, true, {}});
    });
    if (!std::ranges::equal(MappedFile(restored).bytes(), raw_)) {
      fail(ErrorKind::kData, "{}: {} does not give the bytes back", set_.path.string(), m.name);
    }
    rows_.add(std::move(m));
  }

  // ZipNN gets the whole file, and, as its plug-in for safetensors does, the tensors alone: all of
  // the most frequent type as one buffer. What is left then counts as zstd -3 makes it.
  void zipnn_rows() {
    if (!has_zipnn()) return;
    report_.status("ZipNN");
    rows_.add(zipnn("ZipNN, whole file", set_.zipnn, set_.path.string(), "", options_.runs,
                    options_.clock));
    Bytes tensors, rest;
    split(tensors, rest);
    if (tensors.empty()) return;
    const auto path = scratch_ / "tensors.bin";
    write_file(path, tensors, true);
    Measurement m =
        zipnn("ZipNN, tensors", set_.zipnn, path.string(), "", options_.runs, options_.clock);
    m.raw = raw_.size();
    if (!rest.empty()) m.coded += zstd_codec("rest", 3, false, rest.size())->encode(rest);
    rows_.add(std::move(m));
  }

  void split(Bytes& tensors, Bytes& rest) const {
    std::map<DType, uint64_t> sizes;
    for (const auto& t : layout_.tensors) sizes[t.dtype] += t.size;
    if (sizes.empty()) return;
    const DType main =
        std::ranges::max_element(sizes, {}, [](const auto& s) { return s.second; })->first;
    const auto append = [&](Bytes& to, uint64_t from, uint64_t end) {
      to.insert(to.end(), raw_.begin() + static_cast<ptrdiff_t>(from),
                raw_.begin() + static_cast<ptrdiff_t>(end));
    };
    uint64_t at = 0;
    for (const auto& t : layout_.tensors) {
      append(rest, at, t.offset);
      append(t.dtype == main ? tensors : rest, t.offset, at = t.offset + t.size);
    }
    append(rest, at, raw_.size());
  }

  void print() {
    rows_.print("pith default");
    std::vector<Reached> reached;
    for (const auto& codec : codecs_) {
      reached.push_back({codec->name(), [&codec](DType dtype) { return codec->coded(dtype); }});
    }
    report_limits(raw_, layout_.tensors, reached, report_);
  }

  const DataSet& set_;
  const Options& options_;
  Report& report_;
  const Scratch& scratch_;
  MappedFile file_;
  Bytes raw_;
  io::Layout layout_;
  std::vector<std::unique_ptr<Ours>> codecs_;
  CodecRows rows_;
};

}  // namespace

void bench_lossless(const Options& options) {
  Report report("lossless", options.json);
  report.note(rules(options));
  report.note(
      fmt::format("\"file to file\" reads and writes files on {} thread(s) and waits for the disk",
                  options.threads));
  if (!has_zipnn()) report.note("not measured: " + zipnn_hint());
  const Scratch scratch(options);
  Summary summary;
  for (const DataSet& set : data_sets(options, report)) {
    report.section(fmt::format("{} ({} bytes): {}", set.path.filename().string(),
                               std::filesystem::file_size(set.path), set.about));
    LosslessRun run(set, options, report, scratch);
    run.run();
    summary.files.push_back(set.path.filename().string());
    summary.rows.push_back(run.rows());
  }
  if (summary.files.size() > 1) report_summary(summary, report);
  report.finish();
}

}  // namespace pith::bench
