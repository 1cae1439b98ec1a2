// pith kv profile: what is known of a model's keys and values, for codings of chunks.
#include "kv_profile.h"

#include <algorithm>
#include <array>

#include "command.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "pith/base/file.h"
#include "pith/kv/profile.h"
#include "pith/model/axes_profile.h"
#include "pith/model/prompt.h"
#include "pith/model/session.h"
#include "progress_bar.h"
#include "units.h"

namespace pith::command {
namespace {

constexpr uint64_t kStretch = 512;  // tokens that are read as one text
const std::array<std::string, 3> kJoined = {"head", "layer", "all"};
const std::array<std::string, 4> kAxes = {"principal", "attention", "channels", "weights"};
const std::array<std::string, 2> kOrders = {"variance", "attention"};

// What profile is made of how much.
struct Made {
  std::string joined = "all", axes = "principal", order = "variance";
  uint64_t tokens = 16384;
};

struct Arguments {
  std::string model, text, output;
  Made made;
  int threads = 0;
  bool force = false, quiet = false;
};

// Of stretches of the text.
std::vector<kv::Arrays> caches_of(const model::LanguageModel& model, std::span<const int32_t> ids,
                                  int threads, const Progress& progress) {
  std::vector<kv::Arrays> caches;
  for (uint64_t at = 0; at < ids.size(); at += kStretch) {
    report(progress, at, ids.size());
    const uint64_t n = std::min(kStretch, ids.size() - at);
    model::Session session(model, n, threads);
    session.feed(ids.subspan(at, n), model::Logits::kNone);
    caches.push_back(session.keys_values(0, n));
  }
  return caches;
}

kv::Profile fitted(const Made& a, const model::LanguageModel& model, std::span<const int32_t> ids,
                   int threads, const Progress& progress) {
  if (a.axes == "weights") return model::weight_profile(model);
  const uint64_t texts = ids.size() / model::HarmOptions{}.context;
  const model::HarmOptions harm{.texts = std::max<uint64_t>(texts, 1)};
  if (a.axes == "attention") return model::attention_profile(model, ids, harm, threads);
  const auto joined = std::ranges::find(kJoined, a.joined) - kJoined.begin();
  kv::Profile p = kv::fit_profile(
      caches_of(model, ids, threads, progress),
      {.joined = static_cast<kv::Joined>(joined), .rotation = model::rotation_of(model.config())},
      threads);
  if (a.axes == "channels") p = kv::along_channels(std::move(p));
  if (a.order == "attention") p = model::ordered_by_harm(model, std::move(p), ids, {}, threads);
  return p;
}

void check(const Made& a) {
  const bool one = a.axes == "weights" || a.axes == "attention";
  if (a.joined != "head" && (one || a.order == "attention")) {
    fail(ErrorKind::kUsage, "--{} is of heads by themselves: --joined head",
         one ? "axes " + a.axes : "order " + a.order);
  }
  if (one && a.order != "variance")
    fail(ErrorKind::kUsage, "--axes {} has an order of its own, not --order {}", a.axes, a.order);
}

std::vector<int32_t> ids_of(const Made& a, const model::LanguageModel& model,
                            const std::string& text) {
  std::vector<int32_t> ids = model::text_ids(model, text);
  ids.resize(std::min<uint64_t>(ids.size(), a.tokens));
  return ids;
}

void profile(const Arguments& a) {
  check(a.made);
  const model::LanguageModel model = model::load_model(a.model);
  const std::vector<int32_t> ids = ids_of(a.made, model, text_of(a.text));
  if (ids.empty()) fail(ErrorKind::kUsage, "{}: there is no text", a.text);
  ProgressBar bar("reading " + a.text, a.quiet, ProgressUnit::kOther);
  const Bytes bytes = fitted(a.made, model, ids, a.threads, bar.callback()).bytes();
  bar.clear();
  write_file(a.output, bytes, a.force);
  if (!a.quiet)
    note("{} : {}, of {}", a.output, size_text(bytes.size()), count_text(ids.size(), "token"));
}

void add_made(CLI::App& c, Made& made) {
  c.add_option("--joined", made.joined, "heads that share axes: of a head alone, a layer, or all")
      ->check(CLI::IsMember(kJoined))
      ->capture_default_str();
  c.add_option("--axes", made.axes,
               "those of most variance, those without which attention loses most, the channels as "
               "they are, or the directions of the weights alone")
      ->check(CLI::IsMember(kAxes))
      ->capture_default_str();
  c.add_option("--order", made.order,
               "of axes, those first that vary most, or without which attention loses most "
               "(--joined head)")
      ->check(CLI::IsMember(kOrders))
      ->capture_default_str();
  c.add_option("--tokens", made.tokens, "of the text, at most")
      ->type_name("N")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
}

constexpr const char* kExamples =
    R"(Axes over the heads of all layers make the smallest chunks, those of heads the fastest (docs/kv-travel.md).

Examples:
  pith kv profile lm --text calibration.txt -o lm.profile
  pith kv push lm --text book.txt --kv-store lm.kv --kv-coding 'stream(profile="lm.profile", bits=0.8)'
  pith kv profile lm --text calibration.txt --joined head --axes attention -o heads.profile
  pith run lm "The sea" --kv 'cache(dense(f16), profile="heads.profile", kept=20%)')";

}  // namespace

kv::Profile profile_of(const model::LanguageModel& model, const std::string& text,
                       const std::string& options, int threads) {
  Made made;
  CLI::App app;
  add_made(app, made);
  app.parse(options);
  check(made);
  return fitted(made, model, ids_of(made, model, text), threads, {});
}

void add_kv_profile(CLI::App& kv) {
  const auto a = std::make_shared<Arguments>();
  CLI::App* c =
      kv.add_subcommand("profile", "Fit a profile of a model's keys and values to a text");
  c->callback([a] { profile(*a); });
  c->add_option("model", a->model,
                "a GGUF file, a folder with config.json and safetensors, or an archive of either")
      ->type_name("MODEL")
      ->required();
  c->add_option("--text", a->text, "what is read")->type_name("FILE")->required();
  c->add_option("-o,--output", a->output, "the profile")->type_name("FILE")->required();
  add_made(*c, a->made);
  add_threads(c, a->threads);
  c->add_flag("-f,--force", a->force, "overwrite the profile");
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors");
  c->footer(kExamples);
}

}  // namespace pith::command
