// The reverse of tokenizer_gguf.cc.
#include <algorithm>
#include <array>

#include "byte_level_bpe.h"
#include "pith/base/error.h"
#include "pith/io/text.h"
#include "pith/model/export_gguf.h"
#include "sentencepiece_text.h"
#include "tokenizer_model.h"

namespace pith::model {
namespace {

using io::GgufMetadata;

[[noreturn]] void cannot(std::string_view what) {
  fail(ErrorKind::kUsage, "GGUF cannot hold {}", what);
}

int32_t type_of(PieceKind kind) {
  static constexpr std::array<int32_t, 6> kTypes = {1, 2, 3, 4, 5, 6};
  return kTypes[static_cast<size_t>(kind)];
}

struct Tokens {
  std::vector<std::string> pieces;
  std::vector<int32_t> types;
  std::vector<float> scores;
};

// llama.cpp wants every token to have a name of its own.
Tokens tokens_of(const Vocabulary& vocabulary, uint32_t rows) {
  if (static_cast<uint32_t>(vocabulary.size()) > rows) {
    fail(ErrorKind::kUsage, "the tokenizer has {} tokens, the embedding only {} rows",
         vocabulary.size(), rows);
  }
  Tokens tokens;
  for (int32_t id = 0; id < static_cast<int32_t>(rows); ++id) {
    const bool named = vocabulary.contains(id) && !vocabulary.piece(id).empty() &&
                       vocabulary.find(vocabulary.piece(id)) == id;
    tokens.pieces.push_back(named ? std::string(vocabulary.piece(id)) : fmt::format("[PAD{}]", id));
    tokens.types.push_back(type_of(named ? vocabulary.kind(id) : PieceKind::kUnused));
    tokens.scores.push_back(named ? vocabulary.score(id) : 0);
  }
  return tokens;
}

// Merging by scores is merging by ranks where the score of a piece is the rank of its first merge.
void score_by_ranks(const RankedMerges& merges, Tokens& tokens) {
  const auto pairs = merges.in_order();
  std::vector<bool> scored(tokens.pieces.size());
  const auto last = -static_cast<float>(pairs.size());
  std::ranges::fill(tokens.scores, last);
  for (size_t rank = 0; rank < pairs.size(); ++rank) {
    const auto id = static_cast<size_t>(pairs[rank].whole);
    if (id < scored.size() && !scored[id]) tokens.scores[id] = -static_cast<float>(rank);
    if (id < scored.size()) scored[id] = true;
  }
}

void put_byte_level(const SegmenterParts& parts, const Vocabulary& vocabulary,
                    GgufMetadata& metadata) {
  const std::string_view pre = gguf_name_of(parts.bytes->words);
  if (pre.empty()) cannot("a tokenizer that does not cut texts into words");
  if (parts.bytes->ignore_merges != (parts.bytes->words == WordRule::kLlama3)) {
    cannot(fmt::format("a tokenizer of the kind {} with ignore_merges = {}", pre,
                       parts.bytes->ignore_merges));
  }
  metadata.emplace_back("tokenizer.ggml.pre", std::string(pre));
  std::vector<std::string> merges;
  for (const RankedMerges::Pair& pair : parts.merges->in_order()) {
    merges.push_back(std::string(vocabulary.piece(pair.left)) + " " +
                     std::string(vocabulary.piece(pair.right)));
  }
  metadata.emplace_back("tokenizer.ggml.merges", std::move(merges));
  if (parts.bytes->add_prefix_space) metadata.emplace_back("tokenizer.ggml.add_space_prefix", true);
}

void put_ids(const TokenizerModel& model, GgufMetadata& metadata) {
  const auto put = [&](const char* name, std::optional<int32_t> id) {
    if (id) metadata.emplace_back(name, static_cast<uint32_t>(*id));
  };
  put("tokenizer.ggml.bos_token_id", model.bos);
  put("tokenizer.ggml.eos_token_id", model.eos);
  put("tokenizer.ggml.unknown_token_id", model.unk);
  metadata.emplace_back("tokenizer.ggml.add_bos_token", model.adds_bos);
  metadata.emplace_back("tokenizer.ggml.add_eos_token", false);
  if (!model.chat_template.empty()) {
    metadata.emplace_back("tokenizer.chat_template", model.chat_template);
  }
}

}  // namespace

GgufMetadata gguf_metadata(const Tokenizer& tokenizer, uint32_t rows) {
  const TokenizerModel& model = tokenizer.model();
  const SegmenterParts parts = model.segmenter->parts();
  if (parts.unigram) cannot("a unigram tokenizer for a model of this kind");
  Tokens tokens = tokens_of(model.vocabulary, rows);
  GgufMetadata metadata;
  metadata.emplace_back("tokenizer.ggml.model", std::string(parts.bytes ? "gpt2" : "llama"));
  if (parts.bytes) {
    put_byte_level(parts, model.vocabulary, metadata);
  } else {
    if (parts.merges) score_by_ranks(*parts.merges, tokens);
    metadata.emplace_back("tokenizer.ggml.pre", std::string("default"));
    metadata.emplace_back("tokenizer.ggml.scores", std::move(tokens.scores));
    metadata.emplace_back("tokenizer.ggml.add_space_prefix", parts.text->prefix != Prefix::kNone);
  }
  metadata.emplace_back("tokenizer.ggml.tokens", std::move(tokens.pieces));
  metadata.emplace_back("tokenizer.ggml.token_type", std::move(tokens.types));
  put_ids(model, metadata);
  return metadata;
}

}  // namespace pith::model
