#include "pith/kv/chunk_coding.h"

#include <gtest/gtest.h>

#include <functional>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/kv/brief.h"

namespace pith::kv {
namespace {

Arrays some(uint64_t tokens) {
  Arrays a{.heads = {2, 0, 1}, .first = 7, .tokens = tokens, .head_size = 20};
  for (uint64_t i = 0; i < a.size(); ++i) {
    a.keys.push_back(static_cast<float>(random_normal(1, i)));
    a.values.push_back(static_cast<float>(random_normal(2, i)));
  }
  return a;
}

TEST(ChunkCoding, FormsThatLoseNothingGiveTheSame) {
  for (const uint64_t tokens : {0U, 1U, 5U, 256U}) {
    const Arrays a = some(tokens);
    const auto coding = ChunkCoding::parse("cache(keys=dense(f32), values=dense(f32))");
    EXPECT_EQ(decode_chunk(coding.encode(a)), a) << tokens;
  }
}

TEST(ChunkCoding, FormsOfFewBitsAreNear) {
  const Arrays a = some(128);
  const Bytes bytes = ChunkCoding::parse("uniform(4, group=32)").encode(a);
  EXPECT_LT(bytes.size() * 8, 2 * a.size() * 6.5);
  const Arrays b = decode_chunk(bytes);
  for (uint64_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a.keys[i], b.keys[i], 0.4);
    EXPECT_NEAR(a.values[i], b.values[i], 0.4);
  }
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(ChunkCoding, SaysNothingOfWhatSessionsDoWithTokens) {
  for (const char* argument :
       {"keep=top(attention)", "budget=25%", "window=32", "sink=4", "tile=16", "reads=25%",
        "profile=\"heads.profile\"", "prompts=whole", "positions=cache"}) {
    const std::string name = std::string(argument).substr(0, std::string(argument).find('='));
    const std::string said = message_of(
        [&] { ChunkCoding::parse(fmt::format("cache(uniform(4, group=32), {})", argument)); });
    EXPECT_NE(said.find("`" + name + "`"), std::string::npos) << said;
  }
  const std::string text = "cache(keys=uniform(4), values=zeros, keys_by=token, values_by=token)";
  const std::string printed = ChunkCoding::parse(text).text();
  EXPECT_EQ(ChunkCoding::parse(printed).text(), printed);
  EXPECT_EQ(printed.find("window"), std::string::npos);
}

// Before there are keys and values.
TEST(ChunkCoding, ChecksWhatHeadsCannotHave) {
  const std::vector<uint64_t> heads = {2, 0, 1};
  for (const char* bad : {"lattice(8)", "nonesuch", "top(attention)", "uniform(4, group=x)"}) {
    EXPECT_THROW(ChunkCoding::parse(bad).check(heads, 64, 256), Error) << bad;
  }
  const auto blocks = ChunkCoding::parse("cache(ggml(q4_0), keys_by=channel)");
  EXPECT_THROW(blocks.check(heads, 64, 50), Error);
  EXPECT_THROW(blocks.check(heads, 64, (1 << 20) + 2), Error);
  EXPECT_THROW(blocks.check(heads, 20, 64), Error);
  for (const uint64_t tokens : {32U, 64U, 1U << 20U}) blocks.check(heads, 64, tokens);
  const auto stream = [&](const char* text, uint64_t tokens) {
    ChunkCoding::parse(text).check(heads, 64, tokens);
  };
  stream("stream(level=4)", 256);
  stream("stream(bits=2)", 256);
  EXPECT_THROW(stream("stream(bits=0.01)", 32), Error);
  EXPECT_THROW(stream("stream(level=4)", 1 << 21), Error);
  // And what is let through can be coded.
  Arrays a = some(64);
  blocks.check({2, 0, 1}, 32, 64);
  a.head_size = 32;
  a.keys.resize(a.size());
  a.values.resize(a.size());
  EXPECT_NO_THROW(blocks.encode(a));
}

TEST(Brief, LeavesOutWhatNobodySaid) {
  EXPECT_EQ(brief(CacheOptions::parse("uniform(4, group=32)").text()), "uniform(4, group=32)");
  EXPECT_EQ(brief(ChunkCoding::parse("cache(keys=dense(f32), values=dense(f32))").text()),
            "dense(f32)");
  for (const char* text :
       {"cache(keys=uniform(4), values=zeros)", "cache(uniform(4), values_by=channel, window=32)",
        "cache(dense(f16), keep=sink(4) + top(attention), positions=cache, budget=25%)",
        "cache(dense(f16), reads=25%, reads_by=mean)", "stream(bits=2.5)",
        "stream(step=0.5, deltas=anchor, group=10)"}) {
    const std::string whole = std::string(text).starts_with("stream")
                                  ? ChunkCoding::parse(text).text()
                                  : CacheOptions::parse(text).text();
    EXPECT_EQ(brief(whole), text);
  }
  for (const char* other : {"", "uniform(", "dense(f16)", "cach(e)"})
    EXPECT_EQ(brief(other), other);
}

TEST(ChunkCoding, WhatIsDamagedIsRefused) {
  const Bytes bytes = ChunkCoding::parse("uniform(4, group=32)").encode(some(40));
  for (uint64_t n = 0; n < bytes.size(); n += 7) {
    EXPECT_THROW(decode_chunk(ByteView(bytes).first(n)), Error) << n;
  }
  for (uint64_t at = 0; at < 80; ++at) {
    Bytes other = bytes;
    other[at] ^= 0xFF;
    try {
      decode_chunk(other);
    } catch (const Error&) {  // or other numbers
    }
  }
}

}  // namespace
}  // namespace pith::kv
