#include <fmt/core.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>

#include "bench.h"
#include "bench_data.h"
#include "bench_peers.h"
#include "bench_report.h"
#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/base/file.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;
using archive::Archive;

// An archive in memory of which we can tell which pages were read: the kernel keeps a mark for
// each.
class WatchedBytes {
 public:
  explicit WatchedBytes(ByteView from) : size_(from.size()) {
    data_ = static_cast<uint8_t*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (data_ == MAP_FAILED) fail(ErrorKind::kIo, "not enough memory");
    madvise(data_, size_, MADV_NOHUGEPAGE);
    std::memcpy(data_, from.data(), size_);
  }
  ~WatchedBytes() { munmap(data_, size_); }
  WatchedBytes(const WatchedBytes&) = delete;
  WatchedBytes& operator=(const WatchedBytes&) = delete;

  ByteView bytes() const { return {data_, size_}; }

  // Bytes of the pages that `work` touches; nothing where the system does not tell.
  template <class F>
  std::optional<uint64_t> touched(const F& work) const {
    std::ofstream clear("/proc/self/clear_refs");
    if (!(clear << "1" << std::flush)) return std::nullopt;
    work();
    return referenced();
  }

 private:
  std::optional<uint64_t> referenced() const {
    std::ifstream maps("/proc/self/smaps");
    bool ours = false;
    uint64_t sum = 0;
    for (std::string line; std::getline(maps, line);) {
      unsigned long long first = 0, last = 0, kib = 0;
      if (std::sscanf(line.c_str(), "%llx-%llx ", &first, &last) == 2) {
        const auto start = reinterpret_cast<uintptr_t>(data_);
        ours = first < start + size_ && last > start;
      } else if (ours && std::sscanf(line.c_str(), "Referenced: %llu kB", &kib) == 1) {
        sum += kib << 10;
      }
    }
    return sum > 0 ? std::optional<uint64_t>(sum) : std::nullopt;
  }

  uint8_t* data_;
  size_t size_;
};

class RandomRun {
 public:
  RandomRun(const Options& options, Report& report)
      : options_(options),
        report_(report),
        scratch_(options),
        input_(scratch_ / "input.safetensors"),
        archive_(scratch_ / "input.pith") {
    report_.status("preparing the archive");
    write_perturbed_copies(reference_model(), options.size, input_);
    const fs::path inputs[] = {input_};
    archive::write_archive(archive::expand_inputs(inputs), archive_,
                           {lossless::Level::kDefault, 0, true, nullptr, {}});
    watched_ = std::make_unique<WatchedBytes>(MappedFile(archive_).bytes());
    const Archive archive = Archive::open(archive_);
    for (size_t i = 0; i < archive.tensors().size(); ++i) {
      if (archive.tensors()[i].region.name.ends_with("embed_tokens.weight")) tables_.push_back(i);
    }
    if (tables_.empty()) fail(ErrorKind::kData, "the reference model has no embedding");
  }

  void run() {
    const Archive archive = Archive::open(archive_);
    const auto& t = archive.tensors()[tables_.front()].region;
    report_.note(fmt::format("archive of {} bytes for {}; the tensor is {} ({} rows of {} bytes)",
                             fs::file_size(archive_), fs::file_size(input_), t.name,
                             t.shape.front(), archive.row_bytes(tables_.front())));
    Table table({"what", "seconds", "bytes given", "bytes read", "to zstd, all"});
    const double all = decompress_all_zstd();
    step(table, "open", all, 0, [](const Archive&) {});
    step(table, "open, one tensor", all, t.size,
         [&](const Archive& a) { out_ = a.read_tensor(tables_.front()); });
    step(table, "open, one row", all, archive.row_bytes(tables_.front()),
         [&](const Archive& a) { read_row(a, 1234); });
    step(table, "open, 100 random rows of one tensor", all,
         100 * archive.row_bytes(tables_.front()), [&](const Archive& a) { rows(a, false); });
    step(table, "open, 100 random rows of all copies", all,
         100 * archive.row_bytes(tables_.front()), [&](const Archive& a) { rows(a, true); });
    all_rows(table, all);
    report_.table(table);
  }

 private:
  void read_row(const Archive& a, uint64_t key) {
    const size_t tensor = tables_[key % tables_.size()];
    const uint64_t row = key / tables_.size() % a.tensors()[tensor].region.shape.front();
    out_.resize(a.row_bytes(tensor));
    a.read_rows(tensor, row, row + 1, out_);
  }

  void rows(const Archive& a, bool everywhere) {
    std::mt19937_64 random(1);
    for (int i = 0; i < 100; ++i) {
      const uint64_t key = random() >> 16;
      read_row(a, everywhere ? key : key / tables_.size() * tables_.size());
    }
  }

  template <class F>
  void step(Table& table, const char* name, double all, uint64_t given, const F& work) {
    report_.status(name);
    const double time = best_of(options_.runs, [&] { work(Archive::open(archive_)); });
    const auto touched = watched_->touched([&] { work(Archive::open_memory(watched_->bytes())); });
    table.add({text(name),
               seconds(time),
               count(given),
               touched ? count(*touched) : text("unknown"),
               {fmt::format("{:.0f}x faster", all / time), all / time}});
  }

  double decompress_all_zstd() {
    report_.status("zstd");
    const Bytes raw = read_file(input_);
    const auto codec = zstd_codec("zstd -3", 3, false, raw.size());
    zstd_bytes_ = codec->encode(raw);
    out_.assign(raw.size(), 0);
    return best_of(options_.runs, [&] { codec->decode(out_); });
  }

  void all_rows(Table& table, double zstd) {
    const uint64_t size = fs::file_size(input_);
    const Archive archive = Archive::open(archive_);
    out_.assign(size, 0);
    const double ours = best_of(options_.runs, [&] { archive.read(0, 0, out_); });
    table.add({text("everything, pith default, one thread"),
               seconds(ours),
               count(size),
               count(fs::file_size(archive_)),
               {fmt::format("{:.1f}x faster", zstd / ours), zstd / ours}});
    table.add({text("everything, zstd -3, one thread"),
               seconds(zstd),
               count(size),
               count(zstd_bytes_),
               {"1", 1}});
  }

  const Options& options_;
  Report& report_;
  const Scratch scratch_;
  fs::path input_, archive_;
  std::unique_ptr<WatchedBytes> watched_;
  std::vector<size_t> tables_;  // the embedding of each copy
  Bytes out_;
  uint64_t zstd_bytes_ = 0;
};

}  // namespace

void bench_random(const Options& options) {
  Report report("random", options.json);
  report.note(
      "the best of several runs; files are in the page cache; \"bytes read\" counts whole pages of "
      "4 KiB");
  RandomRun(options, report).run();
  report.finish();
}

}  // namespace pith::bench
