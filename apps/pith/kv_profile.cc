// pith kv profile: what is known of a model's keys and values, for codings of chunks.
#include <algorithm>
#include <array>

#include "command.h"
#include "message.h"
#include "options.h"
#include "pith/base/file.h"
#include "pith/kv/profile.h"
#include "pith/model/prompt.h"
#include "pith/model/session.h"
#include "progress_bar.h"
#include "units.h"

namespace pith::command {
namespace {

constexpr uint64_t kStretch = 512;  // tokens that are read as one text
const std::array<std::string, 3> kJoined = {"head", "layer", "all"};

struct Arguments {
  std::string model, text, output, joined = "all";
  uint64_t tokens = 16384;
  int threads = 0;
  bool force = false, quiet = false;
};

void profile(const Arguments& a) {
  const model::LanguageModel model = model::load_model(a.model);
  const MappedFile file(a.text);
  const std::string text(file.bytes().begin(), file.bytes().end());
  std::vector<int32_t> ids = model::text_ids(model, text);
  ids.resize(std::min<uint64_t>(ids.size(), a.tokens));
  if (ids.empty()) fail(ErrorKind::kUsage, "{}: there is no text", a.text);
  ProgressBar bar("reading " + a.text, a.quiet, ProgressUnit::kOther);
  const Progress progress = bar.callback();
  std::vector<kv::Arrays> caches;
  for (uint64_t at = 0; at < ids.size(); at += kStretch) {
    report(progress, at, ids.size());
    const uint64_t n = std::min(kStretch, ids.size() - at);
    model::Session session(model, n, a.threads);
    session.feed(std::span(ids).subspan(at, n), model::Logits::kNone);
    caches.push_back(session.keys_values(0, n));
  }
  bar.clear();
  // Scalings of the rotation are left out: what is undone is done again all the same.
  const auto joined = std::ranges::find(kJoined, a.joined) - kJoined.begin();
  const kv::ProfileOptions options{
      .joined = static_cast<kv::Joined>(joined),
      .rotation = {.base = model.config().rope_base,
                   .neighbours = model.config().rope_layout != model::RopeLayout::kHalves}};
  const Bytes bytes = kv::fit_profile(caches, options, a.threads).bytes();
  write_file(a.output, bytes, a.force);
  if (!a.quiet)
    note("{} : {}, of {}", a.output, size_text(bytes.size()), count_text(ids.size(), "token"));
}

constexpr const char* kExamples =
    R"(Axes over the heads of all layers make the smallest chunks, those of heads the fastest (docs/kv-travel.md).

Examples:
  pith kv profile lm --text calibration.txt -o lm.profile
  pith kv push lm --text book.txt --kv-store lm.kv --kv-coding 'stream(profile="lm.profile", bits=0.8)')";

}  // namespace

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
  c->add_option("--joined", a->joined, "heads that share axes: of a head alone, a layer, or all")
      ->check(CLI::IsMember(kJoined))
      ->capture_default_str();
  c->add_option("--tokens", a->tokens, "of the text, at most")
      ->type_name("N")
      ->check(CLI::Range(2, 1 << 24))
      ->capture_default_str();
  add_threads(c, a->threads);
  c->add_flag("-f,--force", a->force, "overwrite the profile");
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors");
  c->footer(kExamples);
}

}  // namespace pith::command
