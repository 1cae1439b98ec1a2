// Products of compressed matrices with vectors, where the matrices come from memory: several copies
// take turns, together larger than every cache.
#include <filesystem>
#include <random>

#include "bench.h"
#include "bench_machine.h"
#include "bench_report.h"
#include "pith/base/file.h"
#include "pith/base/hash.h"
#include "pith/base/parallel.h"
#include "pith/form/form.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;
using form::FormPtr;

constexpr uint64_t kWorkingSet = uint64_t{256} << 20;
constexpr uint64_t kBatches[] = {1, 8, 16, 32, 64};

const std::vector<std::string>& usual_forms() {
  static const std::vector<std::string> forms = {"dense(bf16)",
                                                 "dense(f16)",
                                                 "ggml(q8_0)",
                                                 "ggml(q6_K)",
                                                 "ggml(q5_K)",
                                                 "ggml(q4_K)",
                                                 "ggml(q4_0)",
                                                 "ggml(q3_K)",
                                                 "ggml(q2_K)",
                                                 "ggml(iq4_xs)",
                                                 "ggml(tq2_0)",
                                                 "uniform(8, group=64)",
                                                 "uniform(6, group=64)",
                                                 "uniform(4, group=64)",
                                                 "uniform(4, group=32)",
                                                 "uniform(3, group=64)",
                                                 "uniform(2, group=64)",
                                                 "uniform(grid=ternary, group=64)",
                                                 "uniform(grid=nf4, group=64)"};
  return forms;
}

// Bytes at the beginning of a cache line, as in a mapped file.
struct Line {
  alignas(64) uint8_t bytes[64];
};

// A form many times over, each with bytes of its own.
class Copies {
 public:
  explicit Copies(ByteView stored) {
    const uint64_t count = std::max<uint64_t>(2, kWorkingSet / stored.size() + 1);
    for (uint64_t i = 0; i < count; ++i) {
      auto own = std::make_shared<std::vector<Line>>((stored.size() + 63) / 64);
      auto* bytes = reinterpret_cast<uint8_t*>(own->data());
      std::memcpy(bytes, stored.data(), stored.size());
      forms_.push_back(form::read({bytes, stored.size()}, own));
    }
  }
  const form::Form& next() { return *forms_[at_++ % forms_.size()]; }
  size_t count() const { return forms_.size(); }

 private:
  std::vector<FormPtr> forms_;
  size_t at_ = 0;
};

// The matrix in the form, from the folder or made and put there.
Bytes stored_form(const fs::path& folder, const std::string& expression, form::Shape shape) {
  const std::string what = fmt::format("{} {}x{}", expression, shape.rows, shape.cols);
  const fs::path file = folder / fmt::format("{:016x}.form", hash64(as_bytes(what)));
  if (fs::exists(file)) return read_file(file);
  form::Matrix m(shape);
  std::mt19937 random(1);
  std::student_t_distribution<float> heavy(6);
  for (float& v : m.values) v = 0.02f * heavy(random);
  Bytes stored = form::write(*form::encode(form::parse(expression), m.view()));
  fs::create_directories(folder);
  write_file(file, stored, true);
  return stored;
}

form::Matrix vectors(uint64_t batch, uint64_t cols) {
  form::Matrix x({batch, cols});
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (float& v : x.values) v = normal(random);
  return x;
}

class Gemv {
 public:
  Gemv(const Options& options, Report& report) : options_(options), report_(report) {}

  void run() {
    for (const int threads : {1, 2}) {
      if (threads > thread_count(0)) continue;
      bandwidth_.push_back(read_bandwidth(threads));
      report_.note(
          fmt::format("read bandwidth, {} threads: {:.1f} GB/s", threads, bandwidth_.back() / 1e9));
    }
    shape({4096, 4096});
    if (options_.quick) return;
    shape({4096, 11008});
    shape({2048, 8192});
  }

 private:
  void shape(form::Shape shape) {
    report_.section(fmt::format("{} x {}", shape.rows, shape.cols));
    std::vector<std::string> columns = {"form", "bits", "threads", "µs", "GB/s", "of bandwidth"};
    for (const uint64_t b : kBatches) {
      if (b > 1) columns.push_back(fmt::format("batch {}, µs", b));
    }
    columns.emplace_back("batch 16 to 1");
    Table table(columns);
    for (const std::string& e : options_.forms.empty() ? usual_forms() : options_.forms) {
      report_.status(e);
      rows(table, e, shape);
    }
    report_.table(table);
  }

  void rows(Table& table, const std::string& expression, form::Shape shape) {
    const Bytes stored = stored_form(fs::path(options_.data) / "forms", expression, shape);
    Copies copies(stored);
    const double bits =
        8.0 * static_cast<double>(stored.size()) / static_cast<double>(shape.size());
    for (size_t i = 0; i < bandwidth_.size(); ++i) {
      const int threads = static_cast<int>(i) + 1;
      std::vector<double> seconds;
      for (const uint64_t batch : kBatches) seconds.push_back(time(copies, batch, shape, threads));
      const double rate = static_cast<double>(stored.size()) / seconds[0];
      std::vector<Cell> row = {text(expression),
                               number(bits, 2),
                               count(static_cast<uint64_t>(threads)),
                               number(seconds[0] * 1e6, 0),
                               number(rate / 1e9, 1),
                               number(rate / bandwidth_[i], 2)};
      for (size_t k = 1; k < seconds.size(); ++k) row.push_back(number(seconds[k] * 1e6, 0));
      row.push_back(number(seconds[2] / seconds[0], 2));
      table.add(std::move(row));
    }
  }

  // Seconds of one product, in the fastest of some rounds over all copies.
  double time(Copies& copies, uint64_t batch, form::Shape shape, int threads) const {
    const form::Matrix x = vectors(batch, shape.cols);
    form::Matrix y;
    form::apply(copies.next(), x.view(), y, threads);
    // A round is some copies, so that what slows a shared machine for a moment hurts one of many.
    const size_t round = std::max<size_t>(1, copies.count() / 4);
    const double best = best_of(std::max(options_.runs, 8), [&] {
      for (size_t i = 0; i < round; ++i) form::apply(copies.next(), x.view(), y, threads);
    });
    return best / static_cast<double>(round);
  }

  const Options& options_;
  Report& report_;
  std::vector<double> bandwidth_;  // bytes per second, by threads
};

}  // namespace

void bench_gemv(const Options& options) {
  Report report("gemv", options.json);
  report.note(
      "one product with copies of the matrix that take turns, 256 MiB together; GB/s: bytes of the "
      "form; of bandwidth: against a plain sum over 1 GiB on as many threads");
  Gemv(options, report).run();
  report.finish();
}

}  // namespace pith::bench
