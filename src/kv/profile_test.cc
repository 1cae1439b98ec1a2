#include "pith/kv/profile.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/kv/chunk_coding.h"
#include "testing_arrays.h"

namespace pith::kv {
namespace {

using testing::made_alike;
using testing::squared_error;

// A profile in a file, fitted to caches that the tests do not look at.
class Fitted {
 public:
  explicit Fitted(Joined joined) {
    std::vector<Arrays> caches;
    for (uint64_t s = 2; s < 6; ++s) caches.push_back(unturned(made_alike(200, 6, s)));
    profile = std::make_shared<const Profile>(fit_profile(caches, {.joined = joined}));
    path_ = std::filesystem::temp_directory_path() /
            ("pith-kv-" + std::to_string(::getpid()) + "-" + std::to_string(int(joined)));
    write_file(path_, profile->bytes(), true);
  }
  ~Fitted() { std::filesystem::remove(path_); }
  Fitted(const Fitted&) = delete;
  Fitted& operator=(const Fitted&) = delete;

  // Keys that are alike before their rotation.
  static Arrays unturned(Arrays a) {
    const Rotator rotator({}, a.head_size, a.first, a.tokens);
    for (uint64_t h = 0; h < a.all_heads(); ++h)
      rotator.redo(a.keys.data() + h * a.tokens * a.head_size);
    return a;
  }
  ChunkCoding coding(const std::string& rest) const {
    return ChunkCoding::parse("stream(profile=\"" + path_.string() + "\", " + rest + ")");
  }

  std::shared_ptr<const Profile> profile;

 private:
  std::filesystem::path path_;
};

double error_of(const Arrays& a, const ChunkCoding& coding) {
  const Arrays b = decode_chunk(coding.encode(a), coding.profile());
  return squared_error(a.keys, b.keys) + squared_error(a.values, b.values);
}

TEST(KvProfile, IsReadBackAndRefusedWhereDamaged) {
  for (const Joined joined : {Joined::kHead, Joined::kLayer, Joined::kAll}) {
    const Fitted fitted(joined);
    const Bytes bytes = fitted.profile->bytes();
    EXPECT_EQ(read_profile(bytes), *fitted.profile);
    for (size_t n = 0; n < bytes.size(); n += 997)
      EXPECT_THROW(read_profile(ByteView(bytes).first(n)), Error);
    for (size_t at = 0; at < bytes.size(); at += 997) {
      Bytes other = bytes;
      other[at] ^= 1;
      EXPECT_THROW(read_profile(other), Error);
    }
  }
}

TEST(KvProfile, AxesOverAllHeadsTakeWhatHeadsHaveInCommonOnce) {
  const Arrays a = Fitted::unturned(made_alike(128, 6));
  const std::string rest = "bits=1.5";
  const double heads = error_of(a, Fitted(Joined::kHead).coding(rest));
  const double layers = error_of(a, Fitted(Joined::kLayer).coding(rest));
  const double all = error_of(a, Fitted(Joined::kAll).coding(rest));
  EXPECT_LT(all, 0.9 * layers);
  EXPECT_LT(layers, 0.9 * heads);
  EXPECT_LT(heads, 0.9 * error_of(a, ChunkCoding::parse("stream(bits=1.5)")));
}

TEST(KvProfile, BitsByAProgrammeKeepWithinTheirSizeToo) {
  const Arrays a = Fitted::unturned(made_alike(128, 6));
  const Fitted fitted(Joined::kAll);
  const ChunkCoding coding = fitted.coding("bits=2, steps=dynamic");
  const Bytes bytes = coding.encode(a);
  EXPECT_LE(static_cast<double>(bytes.size()) * 8, 2.0 * 2 * static_cast<double>(a.size()));
  // One step for all and entropy coding is the better of the two.
  EXPECT_LT(error_of(a, fitted.coding("bits=2")), error_of(a, coding));
  EXPECT_LT(error_of(a, coding), error_of(a, ChunkCoding::parse("stream(bits=2)")));
}

TEST(KvProfile, RanksThatAreSearchedKeepMoreThanEqualOnes) {
  // The first heads hold one number of each token, the others many.
  std::vector<Arrays> caches;
  for (uint64_t s = 1; s < 5; ++s) {
    Arrays a = made_alike(200, 12, s);
    const Arrays narrow = made_alike(200, 1, s);
    const auto head = static_cast<ptrdiff_t>(a.tokens * a.head_size);
    std::copy_n(narrow.values.begin(), head, a.values.begin());
    std::copy_n(narrow.keys.begin(), head, a.keys.begin());
    caches.push_back(Fitted::unturned(a));
  }
  const Profile p = fit_profile(std::span(caches).subspan(1), {.joined = Joined::kHead});
  const auto searched = ranks_within(p, 0.5, Ranks::kSearched);
  const auto equal = ranks_within(p, 0.5, Ranks::kEqual);
  EXPECT_EQ(std::accumulate(searched.begin(), searched.end(), uint64_t{0}),
            std::accumulate(equal.begin(), equal.end(), uint64_t{0}));
  EXPECT_LT(searched[0], equal[0]);
  StreamOptions options;
  options.step = 0.01;
  options.deltas = Deltas::kNone;
  options.profile = std::make_shared<const Profile>(p);
  options.kept = 0.5;
  double error[2];
  for (const Ranks r : {Ranks::kSearched, Ranks::kEqual}) {
    options.ranks = r;
    StreamReader reader(options.profile);
    reader.add(encode_stream(caches[0], options));
    error[static_cast<int>(r)] = squared_error(reader.take().values, caches[0].values);
  }
  EXPECT_LT(error[0], 0.8 * error[1]);
  // Nested: less of the share keeps the first of the same axes.
  const auto fewer = ranks_within(p, 0.25, Ranks::kSearched);
  for (size_t s = 0; s < fewer.size(); ++s) EXPECT_LE(fewer[s], searched[s]);
}

TEST(KvProfile, ChunksNameTheProfileThatTheyNeed) {
  const Fitted all(Joined::kAll), layers(Joined::kLayer);
  const Arrays a = Fitted::unturned(made_alike(40, 6));
  const Bytes bytes = all.coding("level=2").encode(a);
  EXPECT_EQ(stream_profile(bytes), all.profile->id);
  EXPECT_THROW(decode_chunk(bytes), Error);
  EXPECT_THROW(decode_chunk(bytes, layers.profile), Error);
  EXPECT_EQ(decode_chunk(bytes, all.profile, 1), decode_chunk(bytes, all.profile, 3));
  const Arrays none = Fitted::unturned(made_alike(0, 6));
  EXPECT_EQ(decode_chunk(all.coding("level=2").encode(none), all.profile), none);
  Arrays other = a;
  other.heads = {3};
  EXPECT_THROW(all.coding("level=2").encode(other), Error);
  for (uint64_t at = 0; at < bytes.size(); at += 11) {
    Bytes damaged = bytes;
    damaged[at] ^= 4;
    EXPECT_THROW(decode_chunk(damaged, all.profile), Error) << at;
  }
}

TEST(KvProfile, IsNotFittedToNothing) {
  EXPECT_THROW(fit_profile({}), Error);
  std::vector<Arrays> caches = {made_alike(40, 2)};
  caches[0].keys[4] = INFINITY;
  EXPECT_THROW(fit_profile(caches), Error);
  caches[0] = made_alike(0, 2);
  EXPECT_THROW(fit_profile(caches), Error);
}

}  // namespace
}  // namespace pith::kv
