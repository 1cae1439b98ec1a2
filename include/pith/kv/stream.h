// Keys and values of a stretch of tokens as a stream of bits: quantized with one step for a layer,
// and entropy-coded with distributions of every channel (CacheGen: Liu et al. 2024).
//
//   stream(level=3)                                    0 is the finest; two levels are a bit
//   stream(bits=2.5, deltas=anchor, group=10)          as fine as so many bits for a number allow
//   stream(profile="lm.profile", bits=0.8)             over the axes of a profile (profile.h)
//   stream(profile="lm.profile", bits=0.8, steps=dynamic)   bits of each axis by a programme
//   stream(profile="heads.profile", kept=40%, level=0)      the first axes of each head
//
// What is coded is the difference of a number to another that the decoder has already: `mean`, of
// the channel; `anchor`, the first token of each group, in 8 bits; `previous`, the token before, in
// groups that begin with an anchor; `none`. `models`: whether each channel has a distribution of
// its own, each layer, or all have one. With the rotation of keys undone (rope=undone) they are
// coded as they were before it. Layout: docs/kv-travel.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/form/expression.h"
#include "pith/kv/arrays.h"
#include "pith/kv/profile.h"

namespace pith::kv {

enum class Deltas : uint8_t { kNone, kMean, kPrevious, kAnchor };
enum class Models : uint8_t { kChannel, kLayer, kShared };
enum class Steps : uint8_t { kEqual, kDynamic };

struct StreamOptions {
  double step = 0.5;           // in units of what a layer's keys or values have on the mean
  std::optional<double> bits;  // for each number, all in: as fine a step as they allow
  double deeper = 1;           // the step of the last layer over that of the first
  Deltas deltas = Deltas::kMean;
  uint64_t group = 10;
  Models models = Models::kChannel;
  std::optional<Rotation> rotation = Rotation{};    // undone, if there
  bool base_open = false, neighbours_open = false;  // the expression did not say them
  // Instead of layers, the spans of a profile; it then says the rotation.
  std::string profile_path;
  std::shared_ptr<const Profile> profile = {};
  double kept = 1;  // share of the axes
  Ranks ranks = Ranks::kSearched;
  Steps steps = Steps::kEqual;

  // Reads the profile. Throws ErrorKind::kUsage with the place for anything that is none of the
  // above, kIo and kData for a profile that cannot be read.
  static StreamOptions parse(const form::Expression& call);
  // What parse() took, without what it left open.
  std::string text() const;
  // All of it, with the profile's id in place of its path: the same wherever the file lies.
  std::string name() const;
  // With a model's rotation. Throws ErrorKind::kUsage where the expression or its profile says
  // another one.
  StreamOptions with_rotation(const Rotation& of_model) const;
};

// Throws, before there are arrays of this shape, what encode_stream() would throw whatever they
// hold.
void check_stream(const Arrays& shape, const StreamOptions& options);
// Throws ErrorKind::kUsage for arrays of another shape than the profile's, kData for numbers that
// are not finite, kLimit for bits that are too few for anything.
Bytes encode_stream(const Arrays& arrays, const StreamOptions& options, int threads = 1);

// Reads a stream as it arrives, in pieces of any size.
class StreamReader {
 public:
  // profile: that it was written with, if with one; may be null.
  explicit StreamReader(std::shared_ptr<const Profile> profile = {});
  ~StreamReader();
  StreamReader(StreamReader&&) noexcept;
  StreamReader& operator=(StreamReader&&) noexcept;

  // Throws ErrorKind::kData with the offset for what is damaged, kUsage where the profile is
  // missing or another.
  void add(ByteView bytes, int threads = 1);
  // How many layers, from the first, are there with keys and values. Those of a stream over axes of
  // all layers come together at the end.
  uint64_t layers() const;
  bool complete() const;
  // As far as they are there; zeros elsewhere.
  const Arrays& arrays() const;
  // Throws ErrorKind::kData where something is missing.
  Arrays take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Whether these are the first bytes of a stream, and enough of them that what it says it holds may
// be believed. Throws ErrorKind::kData for what is damaged.
bool stream_begins(ByteView bytes);

// The profile's name in a stream, 0 for none: which one is needed. Throws as add() does.
uint64_t stream_profile(ByteView bytes);

}  // namespace pith::kv
