#include "pith/kv/head_axes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/kv/past.h"
#include "testing_arrays.h"

namespace pith::kv {
namespace {

constexpr uint64_t kSize = 20, kTokens = 200;

// Caches whose heads hold few numbers of each token; keys as if rotated from position 0 on.
Arrays cache(uint64_t seed, const Rotation& rotation = {}) {
  Arrays a = testing::made_alike(kTokens, 6, seed);
  a.first = 0;
  const Rotator rotator(rotation, kSize, 0, kTokens);
  for (uint64_t h = 0; h < a.all_heads(); ++h) rotator.redo(a.keys.data() + h * kTokens * kSize);
  return a;
}

// A profile in a file, fitted to caches that the tests do not look at.
class File {
 public:
  explicit File(Joined joined = Joined::kHead, const Rotation& rotation = {}) {
    const std::vector<Arrays> caches = {cache(2, rotation), cache(3, rotation)};
    profile = fit_profile(caches, {.joined = joined, .rotation = rotation});
    path_ = std::filesystem::temp_directory_path() /
            ("pith-axes-" + std::to_string(::getpid()) + "-" + std::to_string(count_++));
    write(profile.bytes());
  }
  ~File() { std::filesystem::remove(path_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  void write(const Bytes& bytes) const { write_file(path_, bytes, true); }
  CacheOptions options(const std::string& rest) const {
    return CacheOptions::parse("cache(" + rest + ", profile=\"" + path_.string() + "\")");
  }

  Profile profile;

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

struct Lost {
  double keys = 0, values = 0;  // squared error a number
  uint64_t bits = 0;
};

// All tokens of head 1 through tiles, and back.
Lost lost(const CacheOptions& options, const Arrays& a, uint64_t from = 0) {
  Past past(head_axes(options)[1]);
  const float *k = a.keys.data() + kTokens * kSize, *v = a.values.data() + kTokens * kSize;
  past.add(options, k, v, kTokens, kSize);
  constexpr uint64_t kPadded = 32;
  std::vector<float> keys(kSize * kTileTokens), values(kTileTokens * kPadded, 7);
  Lost out{.bits = past.bits()};
  for (uint64_t tile = 0; tile < past.tiles(); ++tile) {
    past.load_keys(tile, keys.data());
    past.load_values(tile, values.data(), kPadded);
    EXPECT_EQ(values[kSize], 7);
    for (uint64_t t = 0; t < past.count(tile); ++t) {
      const uint64_t row = past.first(tile) + t;
      for (uint64_t c = 0; c < kSize && row >= from; ++c) {
        out.keys += std::pow(keys[c * kTileTokens + t] - k[row * kSize + c], 2);
        out.values += std::pow(values[t * kPadded + c] - v[row * kSize + c], 2);
      }
    }
  }
  out.keys /= kTokens * kSize;
  out.values /= kTokens * kSize;
  return out;
}

TEST(HeadAxes, GiveAllBackWhereAllAreKept) {
  for (const bool neighbours : {false, true}) {
    const Rotation rotation{.base = 500, .neighbours = neighbours};
    const File file(Joined::kHead, rotation);
    for (const char* by : {"channel", "token"}) {
      const Lost l =
          lost(file.options(fmt::format("dense(f32), keys_by={}, values_by={}, tile=48", by, by)),
               cache(1, rotation));
      EXPECT_LT(l.keys, 1e-10) << by;
      EXPECT_LT(l.values, 1e-10) << by;
    }
  }
}

TEST(HeadAxes, FewHoldWhatHeadsHaveAndTakeLess) {
  const File file;
  const Arrays a = cache(1);
  const Lost all = lost(file.options("dense(f16)"), a);
  double before = 1e-4;
  for (const int kept : {7, 5, 3, 0}) {
    const Lost l =
        lost(file.options(fmt::format("dense(f16), kept={}%, ranks=equal", 5 * kept)), a);
    EXPECT_GT(l.keys, 1.2 * before) << kept;
    EXPECT_LT(l.bits, all.bits) << kept;
    before = l.keys;
  }
  // Six numbers make the tokens, and 0.1 of noise.
  const Lost six = lost(file.options("dense(f16), kept=30%, ranks=equal"), a);
  EXPECT_LT(six.keys, 0.012);
  EXPECT_LT(six.values, 0.012);
  EXPECT_LT(six.bits, all.bits * 2 / 5);
  EXPECT_GT(before, 1);
}

TEST(HeadAxes, KeysWithAnotherRotationAreNotAlongThem) {
  const File file(Joined::kHead, {.base = 30});
  const CacheOptions o = file.options("dense(f16), kept=30%, ranks=equal");
  EXPECT_LT(lost(o, cache(1, {.base = 30})).keys, 0.012);
  EXPECT_GT(lost(o, cache(1, {.base = 3000})).keys, 0.3);
}

TEST(HeadAxes, OthersCanLieInAFormOfTheirOwn) {
  const File file;
  const Arrays a = cache(1);
  const std::string few = "dense(f16), kept=15%, ranks=equal";
  for (const char* by : {"", ", keys_by=token, values_by=token"}) {
    const Lost dropped = lost(file.options(few + by), a);
    const Lost zeros = lost(file.options(few + by + std::string(", rest=zeros")), a);
    const Lost coarse = lost(file.options(few + by + std::string(", rest=uniform(3)")), a);
    EXPECT_NEAR(dropped.keys, zeros.keys, 1e-6 * dropped.keys);
    EXPECT_LT(coarse.keys, 0.2 * dropped.keys);
    EXPECT_LT(coarse.values, 0.2 * dropped.values);
    EXPECT_GT(coarse.bits, dropped.bits);
  }
}

TEST(HeadAxes, TheFirstTokensStayAlmostExact) {
  const File file;
  const Arrays a = cache(1);
  const CacheOptions o = file.options("dense(f16), kept=5%, sink=4");
  Past past(head_axes(o)[0]);
  past.add(o, a.keys.data(), a.values.data(), 128, kSize);
  ASSERT_EQ(past.tiles(), 2);
  EXPECT_EQ(past.count(0), 4);
  EXPECT_FALSE(past.along_axes(0));
  EXPECT_TRUE(past.along_axes(1));
  std::vector<float> keys(kSize * kTileTokens);
  past.load_keys(0, keys.data());
  for (uint64_t c = 0; c < kSize; ++c)
    EXPECT_NEAR(keys[c * kTileTokens + 3], a.keys[3 * kSize + c], 0.01);
  EXPECT_EQ(past.tokens(), 128);
  EXPECT_LT(lost(file.options("dense(f16), kept=5%, sink=200"), a).keys, 1e-5);
}

TEST(HeadAxes, ChannelsCanBeTheAxes) {
  const File file;
  const Profile channels = along_channels(file.profile);
  for (const Span& s : channels.spans) {
    EXPECT_TRUE(std::ranges::is_sorted(s.deviations, std::ranges::greater{}));
    for (uint64_t a = 0; a < s.count(); ++a) {
      uint64_t ones = 0;
      for (uint64_t c = 0; c < s.channels(); ++c) ones += s.axes[a * s.channels() + c] == 1;
      EXPECT_EQ(ones, 1);
    }
  }
  EXPECT_EQ(read_profile(channels.bytes()), channels);
  EXPECT_NE(channels.id, file.profile.id);
  const Bytes bytes = channels.bytes();
  for (size_t at = 0; at < bytes.size(); at += 997) {
    Bytes damaged = bytes;
    damaged[at] ^= 1;
    EXPECT_THROW(read_profile(damaged), Error);
    EXPECT_THROW(read_profile(ByteView(bytes).first(at)), Error);
  }
  // What weighs most comes first, whatever its variance.
  std::vector<std::vector<float>> rising;
  for (const Span& s : channels.spans) {
    rising.emplace_back();
    for (uint64_t a = 0; a < s.count(); ++a) rising.back().push_back(static_cast<float>(a));
  }
  rising[0][3] = 1000;
  const Profile ordered = ordered_by(channels, rising);
  EXPECT_EQ(ordered.spans[0].deviations[0], channels.spans[0].deviations[3]);
  EXPECT_EQ(ordered.spans[1].deviations[0], channels.spans[1].deviations[kSize - 1]);
  EXPECT_EQ(ranks_within(ordered, 1.0 / 120, Ranks::kSearched)[0], 1);
}

TEST(HeadAxes, OptionsAreReadWrittenAndRefused) {
  const File file, all(Joined::kAll);
  const CacheOptions o =
      file.options("uniform(4, group=32), kept=7%, rest=zeros, window=32, ranks=equal");
  EXPECT_EQ(o.keys.by, By::kChannel);
  EXPECT_EQ(o.values.by, By::kChannel);
  EXPECT_EQ(CacheOptions::parse(o.text()).text(), o.text());
  EXPECT_NE(o.name().find(fmt::format("{:016x}", file.profile.id)), std::string::npos);
  EXPECT_EQ(CacheOptions::parse("uniform(4)").name(), CacheOptions::parse("uniform(4)").text());
  EXPECT_THROW(o.with_budget("25%"), Error);
  EXPECT_THROW(o.check({2, 0, 2}, kSize), Error);
  EXPECT_THROW(o.check({2, 0, 1}, 24), Error);
  o.check({2, 0, 1}, kSize);
  EXPECT_THROW(all.options("uniform(4)"), Error);
  for (const char* wrong : {"uniform(4), keep=top(recency), budget=25%", "uniform(4), kept=120%",
                            "uniform(4), ranks=all", "kept=20%"})
    EXPECT_THROW(file.options(wrong), Error) << wrong;
  for (const char* wrong : {"cache(uniform(4), kept=20%)", "cache(uniform(4), ranks=equal)",
                            "cache(uniform(4), rest=zeros)", "cache(uniform(4), profile=3)",
                            "cache(uniform(4), profile=\"no such file\")"})
    EXPECT_THROW(CacheOptions::parse(wrong), Error) << wrong;
  Bytes damaged = file.profile.bytes();
  damaged[damaged.size() / 2] ^= 1;
  file.write(damaged);
  EXPECT_THROW(file.options("uniform(4)"), Error);
}

TEST(HeadAxes, TileBitsAreAboutWhatTilesTake) {
  const File file;
  for (const char* rest :
       {"dense(f16), kept=50%", "uniform(4, group=32)", "integer(step=0.1) > rans"}) {
    const CacheOptions o = file.options(rest);
    const double bits = static_cast<double>(lost(o, cache(1)).bits) * 128 / kTokens;
    EXPECT_NEAR(static_cast<double>(o.tile_bits(kSize)), bits, 0.25 * bits) << rest;
  }
  EXPECT_THROW(file.options("uniform(4)").tile_bits(64), Error);
}

TEST(HeadAxes, RefuseWhatIsNoNumber) {
  const File file;
  Arrays a = cache(1);
  a.keys[kTokens * kSize + 5] = NAN;
  EXPECT_THROW(lost(file.options("uniform(4)"), a), Error);
}

}  // namespace
}  // namespace pith::kv
