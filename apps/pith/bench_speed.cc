// Models as `pith run` runs them, one beside the other: what a smaller archive gains.
#include "bench_speed.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "bench_report.h"
#include "pith/base/error.h"
#include "pith/model/session.h"

namespace pith::bench {
namespace {

struct Speed {
  double prompt = INFINITY, decode = INFINITY;  // seconds
};

// A model that was loaded, with a session for each number of threads.
class Runner {
 public:
  Runner(const std::string& path, const SpeedOptions& o)
      : options_(o), model_(model::load_model(path, {.tokenizer = false})) {
    ids_.resize(std::max(o.prompt, o.decode));
    for (size_t k = 0; k < ids_.size(); ++k) {
      ids_[k] = static_cast<int32_t>((7919 * k + 13) % model_.config().vocabulary);
    }
  }

  // One more try, of which the best counts.
  void run(size_t at) {
    if (speeds_.size() <= at) speeds_.resize(at + 1);
    model::Session session(model_, ids_.size(), options_.threads[at]);
    session.feed(std::span(ids_).first(1));  // reads the file
    session.rewind(0);
    Speed& s = speeds_[at];
    s.prompt = std::min(
        s.prompt,
        time_of([&] { session.feed(std::span(ids_).first(options_.prompt)); }, options_.clock));
    session.rewind(0);
    const auto one_by_one = [&] {
      for (uint64_t k = 0; k < options_.decode; ++k) session.feed(std::span(ids_).subspan(k, 1));
    };
    s.decode = std::min(s.decode, time_of(one_by_one, options_.clock));
  }

  double prompt(size_t at) const {
    return static_cast<double>(options_.prompt) / speeds_[at].prompt;
  }
  double decode(size_t at) const {
    return static_cast<double>(options_.decode) / speeds_[at].decode;
  }
  uint64_t bytes() const { return model_.weight_bytes(); }

 private:
  const SpeedOptions& options_;
  model::LanguageModel model_;
  std::vector<int32_t> ids_;
  std::vector<Speed> speeds_;
};

Cell speed(double v) { return number(v, v < 100 ? 2 : 0); }

}  // namespace

void bench_speed(const SpeedOptions& o) {
  if (o.clock == Clock::kCpu && o.threads != std::vector{1}) {
    fail(ErrorKind::kUsage, "--cpu-time is that of one thread: give --threads 1 too");
  }
  Report report("speed", o.json);
  report.note(fmt::format(
      "prompts of {} ids at once, {} ids one by one from an empty context; the best of {} rounds, "
      "in which all take turns{}; bytes: of all weights; ratios: to the first",
      o.prompt, o.decode, o.runs, o.clock == Clock::kCpu ? ", by CPU time" : ""));
  std::vector<std::unique_ptr<Runner>> runners;
  for (const std::string& path : o.models) runners.push_back(std::make_unique<Runner>(path, o));
  for (int round = 0; round < o.runs; ++round) {
    for (size_t at = 0; at < o.threads.size(); ++at) {
      for (size_t m = 0; m < runners.size(); ++m) {
        report.status(fmt::format("{}, round {} of {}", o.models[m], round + 1, o.runs));
        runners[m]->run(at);
      }
    }
  }
  const Runner& first = *runners.front();
  Table table(
      {"model", "bytes", "ratio", "threads", "prompt tok/s", "ratio", "generate tok/s", "ratio"});
  for (size_t m = 0; m < runners.size(); ++m) {
    const Runner& r = *runners[m];
    const double size = static_cast<double>(r.bytes()) / static_cast<double>(first.bytes());
    for (size_t at = 0; at < o.threads.size(); ++at) {
      table.add({text(std::filesystem::path(o.models[m]).filename().string()), count(r.bytes()),
                 number(size, 3), count(static_cast<uint64_t>(o.threads[at])), speed(r.prompt(at)),
                 number(r.prompt(at) / first.prompt(at), 2), speed(r.decode(at)),
                 number(r.decode(at) / first.decode(at), 2)});
    }
  }
  report.table(table);
  report.finish();
}

}  // namespace pith::bench
