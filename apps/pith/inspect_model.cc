#include <algorithm>

#include "inspect.h"
#include "pith/archive/reader.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/model/weight_source.h"

namespace pith::command {
namespace {

// Whether the files say that there is a language model, of whatever kind.
bool claims_a_model(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return std::filesystem::exists(path / "config.json");
  const MappedFile file(path);
  if (!archive::Archive::is_archive(file.bytes())) {
    return io::describe(file.bytes(), path).layout.format == "gguf";
  }
  const archive::Archive archive = archive::Archive::open(path);
  return std::ranges::any_of(archive.files(), [](const archive::FileInfo& f) {
    return f.format == "gguf" || std::filesystem::path(f.path).filename() == "config.json";
  });
}

}  // namespace

ModelFacts::ModelFacts(const std::string& path) {
  if (path == "-") return;
  try {
    if (claims_a_model(path)) config_ = model::open_weights(path)->config();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kData) why_not_ = error.what();
  }
}

std::string ModelFacts::text() const {
  if (!config_) return why_not_.empty() ? "" : fmt::format("model    does not run: {}\n", why_not_);
  const model::DecoderConfig& c = *config_;
  std::string s = fmt::format(
      "model    {}, {} layers of width {}, {} heads of {} ({} of keys and values)",
      model::hf_name(c.architecture), c.layers, c.width, c.heads, c.head_size, c.kv_heads);
  if (c.experts > 0) {
    s += fmt::format(", {} of {} experts{}", c.experts_per_token, c.experts,
                     c.expert_thresholds.empty() ? "" : " or fewer, by thresholds");
  }
  return s + fmt::format(", vocabulary {}, context {}\n", c.vocabulary, c.context);
}

Json ModelFacts::json() const {
  if (!config_) return why_not_.empty() ? Json() : Json{{"runs", false}, {"why_not", why_not_}};
  const model::DecoderConfig& c = *config_;
  return {{"runs", true},
          {"architecture", model::hf_name(c.architecture)},
          {"name", c.name},
          {"layers", c.layers},
          {"width", c.width},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"head_size", c.head_size},
          {"feed_forward", c.feed_forward},
          {"experts", c.experts},
          {"experts_per_token", c.experts_per_token},
          {"leaves_experts_out", !c.expert_thresholds.empty()},
          {"vocabulary", c.vocabulary},
          {"context", c.context}};
}

}  // namespace pith::command
