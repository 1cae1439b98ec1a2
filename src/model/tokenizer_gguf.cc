// The keys "tokenizer.ggml.*" of GGUF files.
#include "byte_level_bpe.h"
#include "pith/base/error.h"
#include "pith/io/text.h"
#include "pith/model/load_tokenizer.h"
#include "sentencepiece_model.h"
#include "tokenizer_model.h"

namespace pith::model {
namespace {

using io::GgufMetadata;
using Strings = std::vector<std::string>;

constexpr std::string_view kKeys = "tokenizer.ggml.";

// Null where there is no such key.
template <class T>
const T* value(const GgufMetadata& metadata, std::string_view name) {
  const io::GgufValue* found = io::find(metadata, std::string(kKeys) + std::string(name));
  if (!found) return nullptr;
  const T* value = std::get_if<T>(found);
  if (!value) fail(ErrorKind::kData, "{}{} is of the wrong type", kKeys, name);
  return value;
}

std::string text(const GgufMetadata& metadata, std::string_view name) {
  const auto* found = value<std::string>(metadata, name);
  return found ? *found : std::string();
}

bool flag(const GgufMetadata& metadata, std::string_view name, bool otherwise) {
  const bool* found = value<bool>(metadata, name);
  return found ? *found : otherwise;
}

template <class T>
const T& required(const GgufMetadata& metadata, std::string_view name) {
  const T* found = value<T>(metadata, name);
  if (!found) fail(ErrorKind::kData, "there is no {}{}", kKeys, name);
  return *found;
}

std::optional<int32_t> id(const GgufMetadata& metadata, std::string_view name,
                          const Vocabulary& vocabulary) {
  const io::GgufValue* found = io::find(metadata, std::string(kKeys) + std::string(name));
  if (!found) return std::nullopt;
  const auto* whole = std::get_if<uint32_t>(found);
  const auto* with_sign = std::get_if<int32_t>(found);
  if (!whole && !with_sign) fail(ErrorKind::kData, "{}{} is of the wrong type", kKeys, name);
  const int64_t number = whole ? int64_t{*whole} : *with_sign;
  if (number == -1) return std::nullopt;
  if (!vocabulary.contains(number)) {
    fail(ErrorKind::kData, "{}{} is {}, outside the vocabulary of {}", kKeys, name, number,
         vocabulary.size());
  }
  return static_cast<int32_t>(number);
}

template <class T>
void check_size(const std::vector<T>* list, std::string_view name, size_t pieces) {
  if (list && list->size() != pieces) {
    fail(ErrorKind::kData, "{}{} has {} entries for {} tokens", kKeys, name, list->size(), pieces);
  }
}

Vocabulary read_vocabulary(const GgufMetadata& metadata) {
  const auto& tokens = required<Strings>(metadata, "tokens");
  const auto* scores = value<std::vector<float>>(metadata, "scores");
  const auto* types = value<std::vector<int32_t>>(metadata, "token_type");
  check_size(scores, "scores", tokens.size());
  check_size(types, "token_type", tokens.size());
  Vocabulary vocabulary;
  for (size_t k = 0; k < tokens.size(); ++k) {
    const int64_t type = types ? (*types)[k] : 1;
    const auto kind = piece_kind(static_cast<uint64_t>(type));
    if (!kind) fail(ErrorKind::kData, "token {} has the unknown type {}", k, type);
    vocabulary.add(tokens[k], *kind, scores ? (*scores)[k] : 0);
  }
  return vocabulary;
}

std::unique_ptr<TokenizerModel> sentencepiece(const GgufMetadata& metadata) {
  SentencePieceParts parts;
  parts.vocabulary = read_vocabulary(metadata);
  parts.byte_fallback = true;
  parts.text.prefix = flag(metadata, "add_space_prefix", true) ? Prefix::kEvery : Prefix::kNone;
  auto model = make_sentencepiece(std::move(parts));
  model->adds_bos = true;
  return model;
}

void add_specials(TokenizerModel& model) {
  for (int32_t k = 0; k < model.vocabulary.size(); ++k) {
    const PieceKind kind = model.vocabulary.kind(k);
    const bool special = kind == PieceKind::kControl || kind == PieceKind::kUnknown;
    if (!special && kind != PieceKind::kUserDefined) continue;
    if (model.vocabulary.piece(k).empty()) continue;
    model.added.add(
        {.content = std::string(model.vocabulary.piece(k)), .id = k, .special = special});
  }
}

std::unique_ptr<TokenizerModel> byte_level(const GgufMetadata& metadata) {
  const std::string name = text(metadata, "pre");
  const auto rule = word_rule_of_gguf(name);
  if (!rule) {
    fail(ErrorKind::kData, "{}pre: the pre-tokenizer {} is not supported", kKeys,
         io::in_quotes(name));
  }
  auto model = std::make_unique<TokenizerModel>();
  model->algorithm = "byte-level BPE";
  model->byte_level = true;
  model->vocabulary = read_vocabulary(metadata);
  RankedMerges merges;
  for (const std::string& pair : required<Strings>(metadata, "merges")) {
    merges.add(model->vocabulary, pair);
  }
  // The files do not say what goes with the rule in the models that they were made from.
  const bool llama3 = *rule == WordRule::kLlama3;
  const ByteLevelOptions options{.words = *rule,
                                 .ignore_merges = llama3,
                                 .add_prefix_space = flag(metadata, "add_space_prefix", false),
                                 .compose = false};
  const auto unknown = id(metadata, "unknown_token_id", model->vocabulary);
  model->segmenter = std::make_unique<ByteLevelBpe>(model->vocabulary, std::move(merges), options,
                                                    unknown.value_or(-1));
  model->adds_bos = llama3;
  add_specials(*model);
  return model;
}

std::unique_ptr<TokenizerModel> read(const GgufMetadata& metadata) {
  const std::string& kind = required<std::string>(metadata, "model");
  if (kind != "llama" && kind != "gpt2") {
    fail(ErrorKind::kData, "{}model: {} is not supported, only llama and gpt2", kKeys,
         io::in_quotes(kind));
  }
  auto model = kind == "llama" ? sentencepiece(metadata) : byte_level(metadata);
  model->bos = id(metadata, "bos_token_id", model->vocabulary);
  model->eos = id(metadata, "eos_token_id", model->vocabulary);
  if (const auto unk = id(metadata, "unknown_token_id", model->vocabulary)) model->unk = unk;
  model->adds_bos = flag(metadata, "add_bos_token", model->adds_bos) && model->bos.has_value();
  if (const auto* chat = io::find_as<std::string>(metadata, "tokenizer.chat_template")) {
    model->chat_template = *chat;
  }
  return model;
}

}  // namespace

Tokenizer tokenizer_from_gguf(const GgufMetadata& metadata) {
  try {
    return Tokenizer(read(metadata));
  } catch (const Error& error) {
    throw error.in("gguf");
  }
}

}  // namespace pith::model
