// What the tests of tokenizers share: golden cases, and small vocabularies in each file format.
// Test-only.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/model/load_tokenizer.h"

namespace pith::model::testing {

using Ids = std::vector<int32_t>;

inline std::filesystem::path source_root() {
  const auto here = std::filesystem::path(__FILE__).lexically_normal();
  return here.parent_path().parent_path().parent_path();
}
inline std::filesystem::path golden(std::string_view name) {
  return source_root() / "tests/golden/tokenizers" / name;
}
inline nlohmann::json golden_json(std::string_view name) {
  const Bytes file = read_file(golden(name));
  return nlohmann::json::parse(file.begin(), file.end());
}
// The cases of such a file of ids.
inline nlohmann::json golden_cases(std::string_view name) { return golden_json(name)["cases"]; }

inline const Tokenizer& reference() {
  static const Tokenizer tokenizer = load_tokenizer(source_root() / "data/lm");
  return tokenizer;
}

// The message of the error that a call must throw.
template <class Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

#define EXPECT_SAYS(call, part)                                        \
  do {                                                                 \
    const std::string said = ::pith::model::testing::message_of(call); \
    EXPECT_NE(said.find(part), std::string::npos) << said;             \
  } while (false)

struct Piece {
  std::string text;
  float score = 0;
  int type = 1;  // as the files number them
};

// A SentencePiece model file.
class SentencePieceFile {
 public:
  explicit SentencePieceFile(const std::vector<Piece>& pieces) {
    for (const Piece& piece : pieces) {
      Bytes message;
      bytes(message, 1, piece.text);
      message.push_back(2 << 3 | 5);
      uint8_t raw[4];
      store_le(raw, piece.score);
      message.insert(message.end(), raw, raw + 4);
      number(message, 3, static_cast<uint64_t>(piece.type));
      bytes(file_, 1, {message.begin(), message.end()});
    }
    number(trainer_, 3, 2);                                        // BPE
    for (const int field : {3, 5}) number(normalizer_, field, 1);  // dummy prefix, escapes
    number(normalizer_, 4, 0);                                     // extra spaces stay
  }
  SentencePieceFile& trainer(int field, uint64_t value) {
    number(trainer_, field, value);
    return *this;
  }
  SentencePieceFile& normalizer(int field, uint64_t value) {
    number(normalizer_, field, value);
    return *this;
  }
  SentencePieceFile& charsmap(const Bytes& map) {
    bytes(normalizer_, 2, {map.begin(), map.end()});
    return *this;
  }
  Bytes done() const {
    Bytes out = file_;
    bytes(out, 2, {trainer_.begin(), trainer_.end()});
    bytes(out, 3, {normalizer_.begin(), normalizer_.end()});
    return out;
  }

 private:
  static void number(Bytes& out, int field, uint64_t value) {
    ByteWriter writer(out);
    writer.varint(static_cast<uint64_t>(field) << 3);
    writer.varint(value);
  }
  static void bytes(Bytes& out, int field, const std::string& value) {
    ByteWriter writer(out);
    writer.varint(static_cast<uint64_t>(field) << 3 | 2);
    writer.string(value);
  }
  Bytes file_, trainer_, normalizer_;
};

// <unk>, <s>, </s>, then `pieces`.
inline std::vector<Piece> with_controls(std::vector<Piece> pieces) {
  pieces.insert(pieces.begin(), {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}});
  return pieces;
}

inline std::vector<Piece> byte_pieces() {
  std::vector<Piece> pieces;
  for (int byte = 0; byte < 256; ++byte) pieces.push_back({fmt::format("<0x{:02X}>", byte), 0, 6});
  return pieces;
}

// The metadata of a GGUF file with such a vocabulary.
inline io::GgufMetadata gguf_vocabulary(const std::string& model,
                                        const std::vector<Piece>& pieces) {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> types;
  for (const Piece& piece : pieces) {
    tokens.push_back(piece.text);
    scores.push_back(piece.score);
    types.push_back(piece.type);
  }
  return {{"tokenizer.ggml.model", model},
          {"tokenizer.ggml.tokens", tokens},
          {"tokenizer.ggml.scores", scores},
          {"tokenizer.ggml.token_type", types}};
}

inline Tokenizer from_json(const nlohmann::json& file) {
  return tokenizer_from_json(as_bytes(file.dump()));
}

}  // namespace pith::model::testing
