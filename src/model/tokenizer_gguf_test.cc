#include <gtest/gtest.h>

#include <algorithm>

#include "pith/io/write.h"
#include "tokenizer_testing.h"

namespace pith::model {
namespace {

using namespace testing;
using io::GgufMetadata;

// The reference vocabulary as a converter writes it.
GgufMetadata reference_metadata() {
  std::vector<Piece> pieces;
  for (int32_t id = 0; id < reference().size(); ++id) {
    constexpr int kTypes[] = {1, 2, 3, 4, 5, 6};
    const auto kind = reference().kind(id);
    const int type = kTypes[static_cast<size_t>(kind)];
    // The reference model's scores are the order of its normal pieces.
    pieces.push_back(
        {std::string(reference().piece(id)), type == 1 ? -static_cast<float>(id) : 0, type});
  }
  auto metadata = gguf_vocabulary("llama", pieces);
  metadata.emplace_back("tokenizer.ggml.bos_token_id", uint32_t{1});
  metadata.emplace_back("tokenizer.ggml.eos_token_id", uint32_t{2});
  metadata.emplace_back("tokenizer.ggml.unknown_token_id", uint32_t{0});
  metadata.emplace_back("tokenizer.chat_template", std::string("{{ messages }}"));
  return metadata;
}

GgufMetadata with(GgufMetadata metadata, const std::string& key, io::GgufValue value) {
  std::erase_if(metadata, [&](const auto& pair) { return pair.first == key; });
  metadata.emplace_back(key, std::move(value));
  return metadata;
}

TEST(TokenizerGguf, SentencePieceThroughAFileIsTheSame) {
  const Bytes file = io::gguf_header(reference_metadata(), {});
  const Tokenizer tokenizer = tokenizer_from_gguf(io::read_gguf_metadata(file));
  EXPECT_EQ(tokenizer.size(), reference().size());
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  EXPECT_EQ(tokenizer.unk(), 0);
  EXPECT_TRUE(tokenizer.adds_bos());
  EXPECT_EQ(tokenizer.chat_template(), "{{ messages }}");
  for (const auto& entry : golden_cases("reference_ids.json")) {
    const auto text = entry["text"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(text, {.add_bos = false}), entry["ids"].get<Ids>()) << entry["text"];
  }
}

TEST(TokenizerGguf, FollowsItsFlags) {
  const auto no_bos = with(reference_metadata(), "tokenizer.ggml.add_bos_token", false);
  EXPECT_FALSE(tokenizer_from_gguf(no_bos).adds_bos());
  const auto no_space = with(reference_metadata(), "tokenizer.ggml.add_space_prefix", false);
  const Tokenizer tokenizer = tokenizer_from_gguf(no_space);
  EXPECT_EQ(tokenizer.encode("the", {.add_bos = false}), (Ids{*tokenizer.find("the")}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(" the")), " the");
}

TEST(TokenizerGguf, RefusesWhatItCannotUse) {
  const auto refuse = [](const std::string& key, io::GgufValue value) {
    return [metadata = with(reference_metadata(), key, std::move(value))] {
      tokenizer_from_gguf(metadata);
    };
  };
  EXPECT_SAYS([] { tokenizer_from_gguf({}); }, "gguf: there is no tokenizer.ggml.model");
  EXPECT_SAYS(refuse("tokenizer.ggml.model", std::string("bert")), "'bert' is not supported");
  EXPECT_SAYS(refuse("tokenizer.ggml.tokens", uint32_t{4}),
              "tokenizer.ggml.tokens is of the wrong");
  EXPECT_SAYS(refuse("tokenizer.ggml.scores", std::string("x")), "scores is of the wrong type");
  EXPECT_SAYS(refuse("tokenizer.ggml.bos_token_id", std::string("1")), "of the wrong type");
  EXPECT_SAYS(refuse("tokenizer.ggml.add_bos_token", uint32_t{1}), "of the wrong type");
  EXPECT_SAYS(refuse("tokenizer.ggml.scores", std::vector<float>(3)), "3 entries for 4096");
  EXPECT_SAYS(refuse("tokenizer.ggml.token_type", std::vector<int32_t>(4096, 7)), "unknown type 7");
  EXPECT_SAYS(refuse("tokenizer.ggml.token_type", std::vector<int32_t>(4096, -1)), "unknown type");
  EXPECT_SAYS(refuse("tokenizer.ggml.bos_token_id", uint32_t{4096}), "outside the vocabulary");
  EXPECT_SAYS(refuse("tokenizer.ggml.eos_token_id", int32_t{-5}), "outside the vocabulary");
  EXPECT_SAYS(refuse("tokenizer.ggml.model", std::string("gpt2")), "no tokenizer.ggml.merges");
  const auto gpt2 = with(reference_metadata(), "tokenizer.ggml.model", std::string("gpt2"));
  const auto merges = with(gpt2, "tokenizer.ggml.merges", std::vector<std::string>{"zq qz"});
  EXPECT_SAYS([&] { tokenizer_from_gguf(merges); }, "merge 0: 'zq'");
  const auto pre = with(gpt2, "tokenizer.ggml.pre", std::string("tekken"));
  EXPECT_SAYS([&] { tokenizer_from_gguf(pre); }, "pre-tokenizer 'tekken'");
  EXPECT_SAYS([] { tokenizer_from_gguf(gguf_vocabulary("llama", {})); }, "empty");
}

}  // namespace
}  // namespace pith::model
