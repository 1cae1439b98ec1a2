// Keys and values as they are stored and sent: what each coding takes, what it loses, and how fast
// it is read again, side by side.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "bench.h"
#include "bench_cache_judge.h"
#include "bench_data.h"
#include "bench_peers.h"
#include "bench_report.h"
#include "output.h"
#include "pith/base/half.h"
#include "pith/kv/chunk_coding.h"
#include "pith/lossless/codec.h"
#include "pith/model/axes_profile.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLength = 1024;  // of a window, half of which is read through the coding
constexpr uint64_t kChunk = 256;    // tokens that are coded together
constexpr uint64_t kFitted = 24;    // caches of 512 tokens that a profile is fitted to

kv::Arrays part(const kv::Arrays& a, uint64_t first, uint64_t count) {
  kv::Arrays out{
      .heads = a.heads, .first = a.first + first, .tokens = count, .head_size = a.head_size};
  const uint64_t row = a.head_size;
  for (uint64_t h = 0; h < a.all_heads(); ++h) {
    const auto at = static_cast<ptrdiff_t>((h * a.tokens + first) * row);
    const auto n = static_cast<ptrdiff_t>(count * row);
    out.keys.insert(out.keys.end(), a.keys.begin() + at, a.keys.begin() + at + n);
    out.values.insert(out.values.end(), a.values.begin() + at, a.values.begin() + at + n);
  }
  return out;
}

void put(const kv::Arrays& from, uint64_t first, kv::Arrays& to) {
  const uint64_t n = from.tokens * from.head_size;
  for (uint64_t h = 0; h < from.all_heads(); ++h) {
    const uint64_t at = (h * to.tokens + first) * to.head_size;
    std::copy_n(from.keys.data() + h * n, n, to.keys.data() + at);
    std::copy_n(from.values.data() + h * n, n, to.values.data() + at);
  }
}

struct Result {
  double bits = 0, encode = 0, decode = 0;  // for a number; GB of f16 a second
  Continuation then;
};

class Bench {
 public:
  Bench(const Options& options, Report& report)
      : options_(options),
        report_(report),
        scratch_(options),
        model_(model::load_model(reference_model().parent_path())),
        judge_(model_, command::text_of((shared_data() / "text/books-valid.txt").string()),
               options.quick ? 1 : 4, kLength, 1) {}

  void run() {
    sizes();
    ablations();
    fit_profiles();
    compositions();
    ranks();
    lossless();
  }

 private:
  Result measure(const std::string& coding) {
    report_.status(coding);
    const auto how =
        kv::ChunkCoding::parse(coding).with_rotation(model::rotation_of(model_.config()));
    Result r;
    double bytes = 0, numbers = 0;
    r.then = judge_.judge([&](const kv::Arrays& a) {
      kv::Arrays back = a;
      for (uint64_t t = 0; t < a.tokens; t += kChunk) {
        const Bytes coded = how.encode(part(a, t, std::min(kChunk, a.tokens - t)));
        put(kv::decode_chunk(coded, how.profile()), t, back);
        bytes += static_cast<double>(coded.size());
      }
      numbers += 2 * static_cast<double>(a.size());
      return back;
    });
    r.bits = 8 * bytes / numbers;
    const kv::Arrays one = part(judge_.caches()[0], 0, kChunk);
    const double raw = 4e-9 * static_cast<double>(one.size());
    Bytes coded;
    r.encode = raw / best_of(
                         3, [&] { coded = how.encode(one); }, options_.clock);
    r.decode =
        raw / best_of(
                  options_.runs, [&] { kv::decode_chunk(coded, how.profile()); }, options_.clock);
    return r;
  }

  std::string named(std::string coding) const {
    const std::string folder = (scratch_ / "").string();
    for (size_t at; (at = coding.find(folder)) != std::string::npos;)
      coding.erase(at, folder.size());
    return "`" + coding + "`";
  }

  void add(Table& table, const std::string& coding) {
    const Result r = measure(coding);
    table.add({text(named(coding)), number(r.bits, 3), number(16 / r.bits, 2),
               number(eight_ > 0 ? eight_ / r.bits : 0, 2), number(1e6 * r.then.divergence, 2),
               number(100 * r.then.same_best, 2), number(100 * std::expm1(r.then.loss), 3),
               number(r.encode, 3), number(r.decode, 2)});
  }
  Table table() const {
    return Table({"coding", "bits", "f16 over it", "8 bits over it", "divergence, 1e-6 nats",
                  "same best, %", "perplexity, +%", "encode GB/s", "decode GB/s"});
  }

  void sizes() {
    report_.section("Bits, and what is lost");
    report_.note(
        "The first 512 of 1024 tokens of books-valid go through the coding in chunks of 256; the "
        "others are read with what comes back. GB of f16 cache a second, one thread.");
    const std::string eight = "uniform(8, group=32)";
    eight_ = measure(eight).bits;
    Table t = table();
    for (const std::string& c :
         {eight, std::string("ggml(q8_0)"), std::string("ggml(q4_0)"),
          std::string("uniform(4, group=32)"), std::string("integer(bits=3) > rans")})
      add(t, c);
    for (const int level : {-1, 0, 2, 4, 6, 8})
      add(t, level < 0 ? "stream(step=0.02)" : fmt::format("stream(level={})", level));
    report_.table(t);
  }

  void ablations() {
    report_.section("What each part of the stream is worth");
    report_.note(
        "With the same step, so that what is lost is nearly the same; then at equal bits.");
    Table t = table();
    for (const char* c :
         {"stream(level=4)", "stream(level=4, models=layer)", "stream(level=4, models=shared)",
          "stream(level=4, rope=kept)", "stream(level=4, deltas=none)",
          "stream(level=4, deltas=anchor, group=10)", "stream(level=4, deltas=previous, group=10)",
          "stream(level=4, rope=kept, deltas=anchor, group=10)",
          "stream(level=4, rope=kept, deltas=anchor, group=10, models=shared)",
          "stream(level=4, deeper=2)", "stream(level=4, deeper=0.5)", "stream(bits=2.5)",
          "stream(bits=2.5, rope=kept)", "stream(bits=2.5, deltas=anchor)",
          "stream(bits=2.5, rope=kept, deltas=anchor)", "stream(bits=2.5, deeper=2)",
          "stream(bits=2.5, deeper=0.5)"})
      add(t, c);
    report_.table(t);
  }

  void fit_profiles() {
    const std::vector<kv::Arrays> caches =
        caches_of(model_, command::text_of((shared_data() / "text/books-calibration.txt").string()),
                  options_.quick ? 6 : kFitted, 512, 1);
    const auto fit = [&](const char* name, kv::Joined joined) {
      report_.status(name);
      const kv::Profile p = kv::fit_profile(
          caches, {.joined = joined, .rotation = model::rotation_of(model_.config())});
      write_file(scratch_ / name, p.bytes(), true);
    };
    fit("all", kv::Joined::kAll);
    fit("layers", kv::Joined::kLayer);
    fit("heads", kv::Joined::kHead);
  }

  std::string profile(const char* name) const {
    return fmt::format("profile=\"{}\"", (scratch_ / name).string());
  }

  void compositions() {
    report_.section("Five, ten and twenty times less than f16");
    report_.note(fmt::format("Profiles of {} caches of 512 tokens of books-calibration.",
                             options_.quick ? 6 : kFitted));
    Table t = table();
    for (const double bits : {3.2, 1.6, 0.8}) {
      const int whole = bits > 3 ? 2 : 1;
      add(t, fmt::format("uniform({}, group=32)", whole));
      add(t, fmt::format("stream(bits={})", bits));
      for (const char* p : {"heads", "layers", "all"})
        add(t, fmt::format("stream({}, bits={})", profile(p), bits));
      add(t, fmt::format("stream({}, bits={}, steps=dynamic)", profile("all"), bits));
    }
    // As good as eight bits, and finer levels.
    for (const char* step : {"0.015", "0.03", "0.06", "0.125", "0.25", "1.0"})
      add(t, fmt::format("stream({}, step={})", profile("all"), step));
    report_.table(t);
  }

  void ranks() {
    report_.section("Axes of each head");
    report_.note(
        "The first axes of each head, finely coded: of every head equally many, or "
        "those of most variance anywhere.");
    Table t = table();
    for (const int share : {75, 60, 40, 25}) {
      for (const char* ranks : {"equal", "searched"})
        add(t, fmt::format("stream({}, kept={}%, ranks={}, step=0.02)", profile("heads"), share,
                           ranks));
    }
    report_.table(t);
  }

  void lossless() {
    report_.section("Every bit of f16");
    Bytes raw;
    for (const kv::Arrays& a : judge_.caches()) {
      for (const std::vector<float>* v : {&a.keys, &a.values}) {
        for (const float f : *v) {
          const uint16_t h = f16_from_float(f);
          raw.push_back(static_cast<uint8_t>(h));
          raw.push_back(static_cast<uint8_t>(h >> 8));
        }
      }
    }
    Table t({"coding", "bits", "f16 over it", "decode GB/s"});
    Bytes back(raw.size());
    const auto add_row = [&](const std::string& name, uint64_t size, double seconds) {
      const double r = static_cast<double>(raw.size()) / static_cast<double>(size);
      t.add({text(name), number(16 / r, 3), number(r, 3),
             number(1e-9 * static_cast<double>(raw.size()) / seconds, 2)});
    };
    for (const int level : {3, 19}) {
      const auto codec = zstd_codec(fmt::format("zstd -{}", level), level, false, raw.size());
      const Measurement m = bench::measure(*codec, raw, back, 3, options_.clock);
      add_row(m.name, m.coded, m.decode);
    }
    Bytes coded;
    lossless::encode(raw, {.dtype = DType::kF16}, lossless::Level::kMax, {}, coded);
    add_row("byte planes, most effort", coded.size(),
            best_of(
                3, [&] { lossless::decode(coded, {}, back); }, options_.clock));
    report_.table(t);
  }

  const Options& options_;
  Report& report_;
  Scratch scratch_;
  model::LanguageModel model_;
  CacheJudge judge_;
  double eight_ = 0;  // bits of a number in eight bits, scales and all
};

}  // namespace

void bench_cache_stream(const Options& options) {
  Report report("cache-stream", options.json);
  Bench(options, report).run();
  report.finish();
}

}  // namespace pith::bench
