#include "tokenizer_json.h"

#include <algorithm>

#include "byte_pieces.h"
#include "pith/base/error.h"
#include "pith/io/json.h"
#include "pith/io/text.h"
#include "sentencepiece_bpe.h"
#include "tokenizer_pipeline.h"
#include "tokenizer_settings.h"

namespace pith::model {
namespace {

using io::Json;

std::string text_in(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  return value && value->text() ? *value->text() : std::string();
}

const Json& required(const Json& object, std::string_view name) {
  const Json* value = object.find(name);
  if (!value) fail(ErrorKind::kData, "there is no \"{}\"", name);
  return *value;
}

void refuse_unsupported(const Json& bpe) {
  const std::string type = text_in(bpe, "type");
  if (type != "BPE" && !(type.empty() && bpe.find("merges"))) {
    fail(ErrorKind::kData, "models of type {} are not supported, only BPE", io::in_quotes(type));
  }
  const Json* dropout = bpe.find("dropout");
  const double* rate = dropout ? std::get_if<double>(&dropout->value) : nullptr;
  if (rate && *rate > 0) fail(ErrorKind::kData, "merges with dropout are not supported");
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!text_in(bpe, name).empty()) fail(ErrorKind::kData, "\"{}\" is not supported", name);
  }
}

void read_vocabulary(const Json& bpe, TokenizerModel& model) {
  const auto* pieces = required(bpe, "vocab").object();
  if (!pieces) fail(ErrorKind::kData, "\"vocab\" is no object");
  std::vector<std::pair<uint64_t, const std::string*>> order;
  for (const auto& [piece, id] : *pieces) {
    if (!id.number() || *id.number() > INT32_MAX) {
      fail(ErrorKind::kData, "piece {}: its id is not possible", io::in_quotes(piece));
    }
    order.emplace_back(*id.number(), &piece);
  }
  std::ranges::sort(order);
  const bool bytes = flag(bpe, "byte_fallback", false);
  for (const auto& [id, piece] : order) {
    const bool byte = bytes && byte_of_piece(*piece) >= 0;
    model.vocabulary.add_at(static_cast<int64_t>(id), *piece,
                            byte ? PieceKind::kByte : PieceKind::kNormal);
  }
  const std::string unknown = text_in(bpe, "unk_token");
  if (unknown.empty()) return;
  model.unk = model.id_of(unknown);
  if (!model.unk)
    fail(ErrorKind::kData, "the unknown token {} is no piece", io::in_quotes(unknown));
  model.vocabulary.set_kind(*model.unk, PieceKind::kUnknown);
}

RankedMerges read_merges(const Json& bpe, const Vocabulary& vocabulary) {
  const auto* list = required(bpe, "merges").array();
  if (!list) fail(ErrorKind::kData, "\"merges\" is no array");
  RankedMerges merges;
  merges.reserve(list->size());
  for (const Json& merge : *list) {
    if (const std::string* pair = merge.text()) {
      merges.add(vocabulary, *pair);
      continue;
    }
    const auto* parts = merge.array();
    if (!parts || parts->size() != 2 || !(*parts)[0].text() || !(*parts)[1].text()) {
      fail(ErrorKind::kData, "merge {} is neither a string nor two", &merge - list->data());
    }
    merges.add(vocabulary, *(*parts)[0].text(), *(*parts)[1].text());
  }
  return merges;
}

void add_segmenter(const Json& root, const Json& bpe, TokenizerModel& model) {
  Pipeline pipeline = read_pipeline(root);
  RankedMerges merges = read_merges(bpe, model.vocabulary);
  const bool ignore_merges = flag(bpe, "ignore_merges", false);
  const int32_t unknown = model.unk.value_or(-1);
  model.byte_level = pipeline.byte_level;
  if (pipeline.byte_level) {
    model.algorithm = "byte-level BPE";
    if (model.unk) model.unknown_text = model.vocabulary.piece(*model.unk);
    pipeline.bytes.ignore_merges = ignore_merges;
    model.segmenter = std::make_unique<ByteLevelBpe>(model.vocabulary, std::move(merges),
                                                     pipeline.bytes, unknown);
    return;
  }
  model.algorithm = "BPE with escaped spaces";
  model.escaped_spaces = pipeline.text.escape_spaces;
  model.prefixes_space = pipeline.text.prefix != Prefix::kNone;
  model.unknown_text = " \u2047 ";
  BytePieces bytes(model.vocabulary, flag(bpe, "byte_fallback", false), unknown);
  const EscapedBpe::Options options{flag(bpe, "fuse_unk", false), ignore_merges,
                                    pipeline.split_spaces};
  model.segmenter = std::make_unique<EscapedBpe>(model.vocabulary, std::move(pipeline.text),
                                                 std::move(bytes), std::move(merges), options);
}

void read_added(const Json& root, TokenizerModel& model) {
  const Json* list = root.find("added_tokens");
  if (!list || !list->array()) return;
  std::vector<AddedToken> tokens;
  for (const Json& entry : *list->array()) {
    const Json* id = entry.find("id");
    if (!id || !id->number()) fail(ErrorKind::kData, "an added token has no id");
    tokens.push_back(added_token(entry, *id->number()));
  }
  std::ranges::sort(tokens, {}, &AddedToken::id);
  for (AddedToken& token : tokens) model.add_token(std::move(token));
}

// The step of that type, alone or inside a Sequence.
const Json* processor(const Json* value, std::string_view type) {
  if (!value || !value->object()) return nullptr;
  if (text_in(*value, "type") == type) return value;
  const Json* list = value->find("processors");
  if (!list || !list->array()) return nullptr;
  for (const Json& item : *list->array()) {
    if (text_in(item, "type") == type) return &item;
  }
  return nullptr;
}

// The token that a template puts in front of a single text; empty for none.
std::string leading_token(const Json& processing) {
  const Json* single = processing.find("single");
  if (!single || !single->array() || single->array()->empty()) return {};
  const Json* token = single->array()->front().find("SpecialToken");
  return token ? text_in(*token, "id") : std::string();
}

void read_bos(const Json& root, std::optional<bool> add_bos, TokenizerModel& model) {
  const Json* processing = processor(root.find("post_processor"), "TemplateProcessing");
  if (!processing) {
    model.adds_bos = add_bos.value_or(false);
    return;
  }
  const std::string token = leading_token(*processing);
  if (token.empty()) return;
  model.bos = model.id_of(token);
  if (!model.bos) {
    fail(ErrorKind::kData, "post_processor: the token {} is not in the vocabulary",
         io::in_quotes(token));
  }
  model.adds_bos = true;
}

}  // namespace

std::unique_ptr<TokenizerModel> read_tokenizer_json(ByteView file, std::optional<bool> add_bos) {
  const Json root = io::parse_json(file, "JSON");
  const Json& bpe = required(root, "model");
  refuse_unsupported(bpe);
  auto model = std::make_unique<TokenizerModel>();
  read_vocabulary(bpe, *model);
  add_segmenter(root, bpe, *model);
  read_added(root, *model);
  read_bos(root, add_bos, *model);
  return model;
}

}  // namespace pith::model
