#include <fmt/core.h>

#include <atomic>
#include <filesystem>
#include <memory>

#include "bench.h"
#include "bench_child.h"
#include "bench_data.h"
#include "bench_ours.h"
#include "bench_report.h"
#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/base/file.h"
#include "pith/base/hash.h"
#include "pith/base/parallel.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;
using lossless::Level;

struct Stages {
  double wall = 0, cpu = 0;
  double reading = 0, hashing = 0, coding = 0, writing = 0;
};

Stages stages_of(const archive::WriteReport& r, double wall, double cpu) {
  return {wall, cpu, r.reading, r.hashing, r.coding, r.writing};
}

// The file's units on so many threads; each thread's coded block stays where it was made.
class InMemory {
 public:
  explicit InMemory(const fs::path& path)
      : raw_(read_file(path)),
        units_(cut(io::describe(raw_, path).layout.tensors, raw_.size(), Level::kDefault)),
        coded_(units_.size()) {}

  void encode(int threads) {
    parallel_for(threads, units_.size(), [&](size_t i) {
      coded_[i].clear();
      lossless::encode(ByteView(raw_).subspan(units_[i].offset, units_[i].size), units_[i].content,
                       Level::kDefault, {}, coded_[i]);
      sum_ += hash64(coded_[i]) & 1;
    });
  }
  void decode(int threads) {
    parallel_for(threads, units_.size(), [&](size_t i) {
      sum_ += hash64(coded_[i]) & 1;
      lossless::decode(coded_[i], {},
                       MutableByteView(raw_).subspan(units_[i].offset, units_[i].size));
    });
  }

 private:
  Bytes raw_;
  std::vector<Unit> units_;
  std::vector<Bytes> coded_;
  std::atomic<uint64_t> sum_ = 0;
};

class ThreadsRun {
 public:
  ThreadsRun(const Options& options, Report& report)
      : options_(options),
        report_(report),
        scratch_(options),
        input_(scratch_ / "input.safetensors"),
        archive_(scratch_ / "input.pith"),
        restored_(scratch_ / "restored") {
    Usage ignored;
    in_child([&] { return write_perturbed_copies(reference_model(), options_.size, input_), 0; },
             ignored);
    size_ = fs::file_size(input_);
  }

  void run() {
    report_.note(fmt::format("input: {} bytes, perturbed copies of the reference model", size_));
    const int most = thread_count(0);
    std::vector<int> counts = {1};
    if (most >= 2) counts.push_back(2);
    if (most > 2) counts.push_back(most);
    Table table({"step", "threads", "seconds", "MB/s", "to one thread", "CPU seconds", "peak MiB"});
    steps(table, "codec in memory, compress", counts, [this](int n) { return in_memory(n, true); });
    steps(table, "codec in memory, decompress", counts,
          [this](int n) { return in_memory(n, false); });
    steps(table, "file to nowhere, compress", counts, [this](int n) { return compress(n, false); });
    steps(table, "file to file, compress", counts, [this](int n) { return compress(n, true); });
    steps(table, "archive to nowhere, decompress", counts,
          [this](int n) { return decompress(n, false); });
    steps(table, "archive to file, decompress", counts,
          [this](int n) { return decompress(n, true); });
    report_.table(table);
    cpu_split();
  }

 private:
  template <class F>
  void steps(Table& table, const char* name, const std::vector<int>& counts, const F& work) {
    double one = 0;
    for (const int n : counts) {
      report_.status(fmt::format("{}, {} threads", name, n));
      Stages best;
      Usage usage, lowest;
      for (int i = 0; i < kRepeat; ++i) {
        const Stages s = in_child([&] { return work(n); }, usage);
        if (i == 0 || s.wall < best.wall) best = s, lowest = usage;
      }
      if (n == 1) one = best.wall;
      table.add({text(name), count(static_cast<uint64_t>(n)), number(best.wall, 3),
                 rate(size_, best.wall), number(one / best.wall, 2), number(best.cpu, 3),
                 number(static_cast<double>(lowest.peak) / (1 << 20), 0)});
    }
  }

  // The second of two rounds, when every buffer has its pages.
  Stages in_memory(int threads, bool encode) const {
    InMemory data(input_);
    data.encode(threads);
    Stages best{1e9, 1e9, 0, 0, 0, 0};
    for (int i = 0; i < 2; ++i) {
      const double cpu = cpu_now();
      const double wall = time_of([&] { encode ? data.encode(threads) : data.decode(threads); });
      if (wall < best.wall) best.wall = wall, best.cpu = cpu_now() - cpu;
    }
    return best;
  }

  Stages compress(int threads, bool to_file) const {
    const double cpu = cpu_now(), start = now();
    const fs::path paths[] = {input_};
    const archive::WriteOptions write{Level::kDefault, threads, true, nullptr, {}};
    const auto inputs = archive::expand_inputs(paths);
    const auto report =
        to_file ? archive::write_archive(inputs, archive_, write)
                : archive::write_archive(inputs, archive::ByteSink([](ByteView) {}), write);
    return stages_of(report, now() - start, cpu_now() - cpu);
  }

  Stages decompress(int threads, bool to_file) const {
    const double cpu = cpu_now(), start = now();
    const auto archive = archive::Archive::open(archive_);
    const archive::ExtractOptions extract{threads, true, {}};
    if (to_file)
      archive.extract_file(0, restored_, extract);
    else
      archive.extract_file(
          0, [](ByteView) {}, extract);
    return {now() - start, cpu_now() - cpu, 0, 0, 0, 0};
  }

  // Reading and hashing the file and nothing else: what no archiver with checksums can avoid.
  Stages read_and_hash() const {
    const double cpu = cpu_now(), start = now();
    const MappedFile file(input_);
    volatile uint8_t sink = hash128(file.bytes()).bytes[0];
    sink = sink + 0;
    return {now() - start, cpu_now() - cpu, 0, 0, 0, 0};
  }

  // "Never more than 1.5x the CPU time of reading and hashing plus coding."
  void cpu_split() {
    Usage usage;
    const Stages all = in_child([&] { return compress(1, true); }, usage);
    const Stages read = in_child([&] { return read_and_hash(); }, usage);
    const Stages code = in_child([&] { return in_memory(1, true); }, usage);
    Table table({"compressing file to file, one thread", "CPU seconds", "seconds"});
    const auto row = [&](const char* name, double cpu, double wall) {
      table.add({text(name), cpu > 0 ? number(cpu, 3) : none(), number(wall, 3)});
    };
    row("all", all.cpu, all.wall);
    row("its reading", 0, all.reading);
    row("its hashing", 0, all.hashing);
    row("its coding", 0, all.coding);
    row("its writing, waits for the disk included", 0, all.writing);
    row("alone: reading and hashing the file", read.cpu, read.wall);
    row("alone: coding in memory", code.cpu, code.wall);
    report_.table(table);
    report_.note(fmt::format(
        "CPU time of compressing is {:.2f}x that of reading and hashing plus coding alone",
        all.cpu / (read.cpu + code.cpu)));
  }

  static constexpr int kRepeat = 3;

  const Options& options_;
  Report& report_;
  const Scratch scratch_;
  fs::path input_, archive_, restored_;
  uint64_t size_ = 0;
};

}  // namespace

void bench_threads(const Options& options) {
  Report report("threads", options.json);
  report.note(
      "each figure: the best of 3 processes; \"to file\" waits until the disk has the bytes; peak "
      "memory counts mapped files");
  ThreadsRun(options, report).run();
  report.finish();
}

}  // namespace pith::bench
