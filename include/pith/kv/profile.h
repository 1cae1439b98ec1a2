// What is known of a model's keys and values before any are there: their means and the axes along
// which they vary, over the heads of one layer or of all, fitted to caches of other texts.
//
//   Profile profile = fit_profile(caches, {.joined = Joined::kAll});
//   write_file("lm.profile", profile.bytes(), false);
//
// A head is divided by what its layer has on the mean, so that an axis weighs all layers alike;
// keys are as before their rotation. Heads of all layers see the same stream, which is narrower
// than all of them together: what one layer keeps of a token tells much of what the next will
// (principal components over layers: KVTC, Staniszewski and Łańcucki 2025).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/kv/arrays.h"
#include "pith/kv/rotation.h"

namespace pith::kv {

enum class Joined : uint8_t { kHead, kLayer, kAll };

// Heads first … first + heads - 1 of the keys or the values; `channels` of all of them.
struct Span {
  bool values = false;
  uint64_t first = 0, heads = 0;
  std::vector<float> mean = {};   // [channel]
  std::vector<float> scale = {};  // of each head; above 0
  std::vector<float> axes = {};   // [axis][channel], the most important one first
  // What a unit of a coordinate gives back, where axes are not orthonormal; empty: the axes.
  std::vector<float> duals = {};  // [axis][channel]
  const std::vector<float>& back() const { return duals.empty() ? axes : duals; }
  std::vector<float> deviations = {};  // along each axis, in units of the scales
  std::vector<float> importance = {};  // of each axis, the larger the more; empty: its variance
  float important(uint64_t axis) const {
    return importance.empty() ? deviations[axis] * deviations[axis] : importance[axis];
  }
  uint64_t channels() const { return mean.size(); }
  uint64_t count() const { return deviations.size(); }
  bool operator==(const Span&) const = default;
};

struct Profile {
  std::vector<uint64_t> heads;  // as in Arrays
  uint64_t head_size = 0;
  Rotation rotation;
  std::vector<Span> spans;  // of keys, then of values, each all heads in order
  // Names the profile in what is coded with it: the hash that its bytes end with, as set_id(),
  // fit_profile() and read_profile() set it.
  uint64_t id = 0;
  Bytes bytes() const;
  void set_id();
  // Throws ErrorKind::kUsage where a cache of this shape has other heads.
  void check(const Arrays& arrays) const { check(arrays.heads, arrays.head_size); }
  void check(const std::vector<uint64_t>& of, uint64_t size) const;
  // Throws ErrorKind::kUsage where it is of keys that are turned in another way than a model's.
  void check_rotation(const Rotation& of_model) const;
  bool of_single_heads() const;
  bool operator==(const Profile&) const = default;
};

// Throws ErrorKind::kData with the offset for anything that bytes() did not make.
Profile read_profile(ByteView bytes);
// That of a file, which errors name.
std::shared_ptr<const Profile> load_profile(const std::string& path);

inline constexpr uint64_t kMostSpan = 8192;  // channels that are joined

struct ProfileOptions {
  Joined joined = Joined::kAll;
  Rotation rotation = {};
  uint64_t skipped = 4;  // positions at the beginning of a text, which are unlike all others
  uint64_t axes = ~uint64_t{0};  // of a span, at most
};

// caches: of one model, each from some position on. Throws ErrorKind::kUsage for caches of unequal
// shape or without tokens, kData for numbers that are not finite, kLimit for spans of more than
// kMostSpan channels.
Profile fit_profile(std::span<const Arrays> caches, const ProfileOptions& options = {},
                    int threads = 1);

// The same with the channels of each span as its axes, that of most variance first.
Profile along_channels(Profile profile);

// Each span's axes in the order of what they weigh: [span][axis] of the profile.
Profile ordered_by(Profile profile, std::vector<std::vector<float>> importance);

// How many axes of each span are kept, given `share` of all of them: the most important ones
// anywhere, or of every span equally many. In the order of the spans.
enum class Ranks : uint8_t { kSearched, kEqual };
std::vector<uint64_t> ranks_within(const Profile& profile, double share, Ranks ranks);

}  // namespace pith::kv
