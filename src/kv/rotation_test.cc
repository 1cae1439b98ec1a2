#include "pith/kv/rotation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "pith/base/error.h"
#include "pith/kv/chunk_coding.h"
#include "pith/kv/profile.h"
#include "rotation_bytes.h"
#include "testing_arrays.h"

namespace pith::kv {
namespace {

using testing::made;

// Turns the first four of a head.
const Rotation kPart = {.base = 10000, .frequencies = {1, 0.25F}};

std::vector<float> turned(const Rotation& r, std::vector<float> head, uint64_t position) {
  Rotator(r, head.size(), position, 1).redo(head.data());
  return head;
}

TEST(KvRotation, FrequenciesSayWhichElementsTurn) {
  const std::vector<float> head = {1, 2, 3, 4, 5, 6, 7};
  const float c = std::cos(3.0F), s = std::sin(3.0F), d = std::cos(0.75F), z = std::sin(0.75F);
  Rotation r = kPart;
  const auto halves = turned(r, head, 3);
  r.neighbours = true;
  const auto neighbours = turned(r, head, 3);
  const std::vector<float> of_halves = {c - 3 * s, 2 * d - 4 * z, 3 * c + s, 4 * d + 2 * z};
  const std::vector<float> of_pairs = {c - 2 * s, 2 * c + s, 3 * d - 4 * z, 4 * d + 3 * z};
  for (size_t i = 0; i < head.size(); ++i) {
    EXPECT_NEAR(halves[i], i < 4 ? of_halves[i] : head[i], 1e-6) << i;
    EXPECT_NEAR(neighbours[i], i < 4 ? of_pairs[i] : head[i], 1e-6) << i;
  }
  EXPECT_THROW(turned({.frequencies = {1, 1, 1, 1}}, head, 3), Error);  // of three pairs
}

TEST(KvRotation, TilesTurnAsAllDo) {
  for (const bool neighbours : {false, true}) {
    Rotation r = kPart;
    r.neighbours = neighbours;
    std::vector<float> one(9 * 7), all;
    for (size_t i = 0; i < one.size(); ++i) one[i] = static_cast<float>(i % 5) - 1;
    all = one;
    Rotator(r, 7, 40, 9).redo(all.data());
    TileRotator(r, 7, 16).redo(one.data(), 40, 9);
    for (size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(one[i], all[i], 1e-5) << i;
  }
}

TEST(KvRotation, AlikeIsWhatTurnsAlike) {
  const Rotation plain{.base = 5e5};
  Rotation same{.base = 7};
  for (const double f : frequencies_of(plain, 16)) same.frequencies.push_back(float(f));
  EXPECT_TRUE(alike(plain, same, 16));
  EXPECT_FALSE(alike(plain, {.base = 5e5, .neighbours = true}, 16));
  EXPECT_FALSE(alike(plain, {.base = 4.9e5}, 16));
  same.frequencies.pop_back();
  EXPECT_FALSE(alike(plain, same, 16));
}

// Keys that are alike before a rotation of a part of each head.
TEST(KvRotation, StreamsLoseLessWithTheModelsOwn) {
  Arrays a = made(256);
  for (uint64_t i = 0; i < a.keys.size(); ++i)
    a.keys[i] = (i % a.head_size < 4 ? 3.0F : 0.0F) + 0.1F * a.keys[i];
  const Rotator rotator(kPart, a.head_size, a.first, a.tokens);
  for (uint64_t h = 0; h < a.all_heads(); ++h)
    rotator.redo(a.keys.data() + h * a.tokens * a.head_size);
  const auto error = [&](const char* text, bool own) {
    const ChunkCoding open = ChunkCoding::parse(text);
    // What is read knows how to turn them again.
    return testing::squared_error(
        a.keys, decode_chunk((own ? open.with_rotation(kPart) : open).encode(a)).keys);
  };
  const double own = error("stream(bits=3)", true);
  EXPECT_LT(4 * own, error("stream(bits=3)", false));
  EXPECT_LT(4 * own, error("stream(bits=3, rope=kept)", false));
}

// A layer whose keys are alike at all tokens leaves its bits to the others.
TEST(KvRotation, RoundingTakesNoBits) {
  Arrays a = made(256);
  const uint64_t head = a.tokens * a.head_size, layer = a.heads[0] * head;
  for (uint64_t i = 0; i < layer; ++i) a.keys[i] = 1.0F + static_cast<float>(i % a.head_size);
  const Rotator rotator({}, a.head_size, a.first, a.tokens);
  for (uint64_t h = 0; h < a.all_heads(); ++h) rotator.redo(a.keys.data() + h * head);
  Arrays without = a;
  std::fill_n(without.keys.begin(), layer, 0.0F);
  const auto size = [](const Arrays& of) {
    return static_cast<double>(ChunkCoding::parse("stream(level=4)").encode(of).size());
  };
  EXPECT_LT(size(a), 1.02 * size(without));
}

TEST(KvRotation, WhatContradictsTheModelIsRefused) {
  const Rotation model{.base = 5e5, .neighbours = true};
  const auto with = [&](const char* coding) {
    return ChunkCoding::parse(coding).with_rotation(model).text();
  };
  for (const char* good : {"stream(level=4)", "stream(base=500000)", "stream(neighbours=true)",
                           "stream(rope=kept)", "dense(f32)"})
    EXPECT_EQ(with(good), ChunkCoding::parse(good).text());
  const auto says = [&](const char* coding, const char* what) {
    try {
      with(coding);
      ADD_FAILURE() << coding;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kUsage);
      EXPECT_NE(std::string(e.what()).find(what), std::string::npos) << e.what();
    }
  };
  says("stream(base=10000)", "`base` is 10000, but the model's is 500000");
  says("stream(neighbours=false)", "`neighbours` is false");
  const std::vector<Arrays> caches = {made(64)};
  const Profile p = fit_profile(caches, {.joined = Joined::kHead, .rotation = kPart});
  p.check_rotation(kPart);
  EXPECT_THROW(p.check_rotation(model), Error);
}

TEST(KvRotation, ProfilesKeepIt) {
  const std::vector<Arrays> caches = {made(64)};
  for (const bool neighbours : {false, true}) {
    Rotation r = kPart;
    r.neighbours = neighbours;
    const Profile p = fit_profile(caches, {.joined = Joined::kHead, .rotation = r});
    EXPECT_EQ(read_profile(p.bytes()), p);
  }
}

TEST(KvRotation, BytesThatAreNoFrequenciesAreRefused) {
  const auto read = [](const std::vector<float>& frequencies, uint64_t head_size) {
    Bytes bytes;
    ByteWriter to(bytes);
    write_frequencies(frequencies, to);
    ByteReader from(bytes);
    return read_frequencies(from, head_size);
  };
  EXPECT_EQ(read({1, 0.5F}, 4), (std::vector<float>{1, 0.5F}));
  EXPECT_THROW(read({}, 4), Error);
  EXPECT_THROW(read({1, 0.5F, 0.25F}, 5), Error);
  for (const float wrong :
       {-1.0F, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    EXPECT_THROW(read({1, wrong}, 4), Error);
}

}  // namespace
}  // namespace pith::kv
