// Text to token ids and back, for the language models of the Llama family.
//
//   const Tokenizer tokenizer = load_tokenizer("Llama-3.2-1B");
//   std::vector<int32_t> ids = tokenizer.encode("Once upon a time");
//   std::string text = tokenizer.decode(ids);
//
// A Tokenizer does not change after it was loaded; copies share what was read, and every method may
// be called from many threads at once. What is supported is said in docs/models.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pith::model {

struct TokenizerModel;

enum class PieceKind : uint8_t {
  kNormal,
  kUnknown,      // stands for what the vocabulary cannot say
  kControl,      // <s>, <|eot_id|>: read from text only when asked, not shown in decoded text
  kUserDefined,  // always taken whole from the text, and shown
  kUnused,       // never made from text
  kByte,         // one byte of a character that has no piece
};

struct EncodeOptions {
  std::optional<bool> add_bos = {};  // a bos token in front; unset: as the model's files say
  // "<|eot_id|>" in the text becomes that control token. Only for text that the user wrote as a
  // prompt with markup, never for data, which could speak in another's name.
  bool parse_special = false;
};

struct DecodeOptions {
  bool show_special = false;  // write control tokens as their pieces
  // The text goes on from an earlier one: keep the space in front of the first word, which encode()
  // adds to the beginning of a text with SentencePiece vocabularies.
  bool continues = false;
};

class Tokenizer {
 public:
  explicit Tokenizer(std::unique_ptr<TokenizerModel> model);  // for the loaders

  // Ids of a text. Bytes that are not UTF-8 become byte tokens where the model has them, else the
  // unknown token. Throws ErrorKind::kData where the model has neither, ErrorKind::kLimit for texts
  // above 1 GiB. Time grows as n log n.
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // The bytes that the ids stand for. They are valid UTF-8 if the ids came from encode() of such a
  // text; ids of a model's choice may hold parts of characters, which stay as they are here and
  // become U+FFFD in StreamDecoder. Throws ErrorKind::kUsage for an id outside the vocabulary.
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  int32_t size() const;  // ids are 0 … size() - 1
  std::string_view piece(
      int32_t id) const;  // as the vocabulary writes it: "▁the", "Ġthe", "<0x0A>"
  std::string_view text(int32_t id) const;  // the bytes it stands for inside a text: " the"
  PieceKind kind(int32_t id) const;
  std::optional<int32_t> find(std::string_view piece) const;  // the id of a piece

  std::optional<int32_t> bos() const;
  std::optional<int32_t> eos() const;
  std::optional<int32_t> unk() const;
  bool adds_bos() const;  // what encode() does unless told

  std::string_view algorithm() const;        // "SentencePiece BPE", "byte-level BPE", …
  const std::string& chat_template() const;  // Jinja source; empty where there is none

  const TokenizerModel& model() const { return *model_; }  // for the writers

 private:
  std::shared_ptr<const TokenizerModel> model_;
};

// Turns ids into text as they come. A character whose bytes span tokens is held back until it is
// whole, so that every string given out is valid UTF-8.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, const DecodeOptions& options = {});

  // The text that can be shown after this token; bytes that cannot become UTF-8 are U+FFFD, one for
  // each part of a character. Throws as Tokenizer::decode does.
  std::string push(int32_t id);
  // What was held back, as U+FFFD; then ready for another text.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  DecodeOptions options_;
  bool begun_ = false;
  std::string held_;
};

}  // namespace pith::model
