#include "tokenizer_settings.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "pith/base/error.h"
#include "pith/io/text.h"

namespace pith::model {
namespace {

using io::Json;

constexpr uint64_t kMaxBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxId = INT32_MAX;

// The name of a token: a string, or the "content" of an object.
std::string token_name(const Json* value) {
  if (!value) return {};
  if (const std::string* text = value->text()) return *text;
  const Json* content = value->find("content");
  return content && content->text() ? *content->text() : std::string();
}

void take_names(const Json& root, TokenizerSettings& settings) {
  const auto take = [&](std::string& into, std::string_view name) {
    if (into.empty()) into = token_name(root.find(name));
  };
  take(settings.bos, "bos_token");
  take(settings.eos, "eos_token");
  take(settings.unk, "unk_token");
}

// Files with several templates name them; "default" is the one for conversations.
std::string chat_template(const Json* value) {
  if (!value) return {};
  if (const std::string* text = value->text()) return *text;
  const auto* choices = value->array();
  if (!choices) return {};
  for (const Json& choice : *choices) {
    if (token_name(choice.find("name")) == "default") return token_name(choice.find("template"));
  }
  return {};
}

uint64_t id_of_text(std::string_view text) {
  uint64_t id = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (wrong != std::errc() || end != text.data() + text.size()) {
    fail(ErrorKind::kData, "added_tokens_decoder: {} is no id", io::in_quotes(text));
  }
  return id;
}

void take_config(const Json& root, TokenizerSettings& settings) {
  take_names(root, settings);
  settings.chat_template = chat_template(root.find("chat_template"));
  if (root.find("add_bos_token")) settings.add_bos = flag(root, "add_bos_token", false);
  if (root.find("legacy")) settings.legacy = flag(root, "legacy", true);
  const Json* added = root.find("added_tokens_decoder");
  if (!added || !added->object()) return;
  for (const auto& [id, token] : *added->object()) {
    settings.added.push_back(added_token(token, id_of_text(id)));
  }
}

void take_added(const Json& root, TokenizerSettings& settings) {
  if (!root.object()) fail(ErrorKind::kData, "no object of tokens and ids");
  std::unordered_set<std::string> known;  // the other files say more about the same tokens
  for (const AddedToken& token : settings.added) known.insert(token.content);
  for (const auto& [content, id] : *root.object()) {
    const uint64_t* number = id.number();
    if (!number || *number > kMaxId) {
      fail(ErrorKind::kData, "token {}: its id is not possible", io::in_quotes(content));
    }
    if (!known.contains(content)) {
      settings.added.push_back({content, static_cast<int32_t>(*number)});
    }
  }
}

std::optional<uint64_t> first_number(const Json* value) {
  if (value && value->array() && !value->array()->empty()) value = &value->array()->front();
  return value && value->number() ? std::optional(*value->number()) : std::nullopt;
}

template <class Use>
void with_file(const ModelFolder& folder, std::string_view name, const Use& use) {
  const auto file = folder.read(name, kMaxBytes);
  if (!file) return;
  try {
    use(io::parse_json(*file, "JSON"));
  } catch (const Error& error) {
    throw error.in(folder.where() + "/" + std::string(name));
  }
}

std::optional<int32_t> named(const TokenizerModel& model, const std::string& piece) {
  return piece.empty() ? std::nullopt : model.id_of(piece);
}

std::optional<int32_t> numbered(const TokenizerModel& model, std::optional<uint64_t> id) {
  const bool there = id && *id <= kMaxId && model.vocabulary.contains(static_cast<int64_t>(*id));
  return there ? std::optional(static_cast<int32_t>(*id)) : std::nullopt;
}

}  // namespace

bool flag(const Json& object, std::string_view name, bool otherwise) {
  const Json* value = object.find(name);
  const bool* truth = value ? std::get_if<bool>(&value->value) : nullptr;
  return truth ? *truth : otherwise;
}

AddedToken added_token(const Json& object, uint64_t id) {
  AddedToken token;
  token.content = token_name(&object);
  if (token.content.empty()) fail(ErrorKind::kData, "the added token {} has no content", id);
  if (id > kMaxId) fail(ErrorKind::kData, "the id {} of an added token is not possible", id);
  token.id = static_cast<int32_t>(id);
  token.special = flag(object, "special", false);
  token.single_word = flag(object, "single_word", false);
  token.strip_left = flag(object, "lstrip", false);
  token.strip_right = flag(object, "rstrip", false);
  return token;
}

TokenizerSettings read_settings(const ModelFolder& folder) {
  TokenizerSettings settings;
  with_file(folder, "tokenizer_config.json",
            [&](const Json& root) { take_config(root, settings); });
  with_file(folder, "special_tokens_map.json",
            [&](const Json& root) { take_names(root, settings); });
  with_file(folder, "added_tokens.json", [&](const Json& root) { take_added(root, settings); });
  with_file(folder, "config.json", [&](const Json& root) {
    settings.bos_id = first_number(root.find("bos_token_id"));
    settings.eos_id = first_number(root.find("eos_token_id"));
  });
  if (const auto jinja = folder.read("chat_template.jinja", kMaxBytes)) {
    settings.chat_template = io::as_text(*jinja);
  }
  return settings;
}

void apply(const TokenizerSettings& settings, TokenizerModel& model) {
  std::vector<AddedToken> added = settings.added;
  std::ranges::sort(added, {}, &AddedToken::id);  // each id is near the ones before it
  for (AddedToken& token : added) model.add_token(std::move(token));
  const auto prefer = [](std::optional<int32_t>& into, std::optional<int32_t> id) {
    if (id) into = id;
  };
  prefer(model.bos, named(model, settings.bos));
  prefer(model.eos, named(model, settings.eos));
  prefer(model.unk, named(model, settings.unk));
  if (!model.bos) model.bos = numbered(model, settings.bos_id);
  if (!model.eos) model.eos = numbered(model, settings.eos_id);
  if (!settings.chat_template.empty()) model.chat_template = settings.chat_template;
}

}  // namespace pith::model
