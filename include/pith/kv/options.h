// How a cache of keys and values holds the tokens that its window has left behind, and which:
//
//   uniform(4, group=32)                                              keys and values alike
//   cache(keys=uniform(4, group=64), values=uniform(2, group=32), window=128, sink=4)
//   cache(keys=hadamard | uniform(3, group=32), keys_by=token, values=uniform(3, group=32))
//   cache(keep=sink(4) + top(attention), budget=25%, window=32, tile=32)
//   cache(uniform(4, group=32), keep=top(attention(mean)) | rest(uniform(2, group=32)), budget=40%)
//   cache(uniform(4, group=32), profile="heads.profile", kept=20%, window=32)
//   cache(dense(f16), window=64, tile=16, reads=25%)                  all stay, few are read
//   cache(dense(f16), window=64, tile=32, cut=spans, reads=25%)       of spans of the text
//
// Tokens go by tiles. Keys are as attention takes them, after the rotation by their positions; with
// a profile they are coordinates along its axes, before it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/form/expression.h"
#include "pith/kv/profile.h"
#include "pith/select/policy.h"

namespace pith::kv {

// The most tokens of a tile.
inline constexpr uint64_t kTileTokens = 128;

// What a row of the matrix is that a form holds of a tile: a channel, over all of its tokens (keys
// have channels of their own size: KIVI, Liu et al. 2024), or a token, over all channels.
enum class By : uint8_t { kChannel, kToken };

struct Coding {
  form::Expression form;
  By by = By::kToken;
};

// How many tokens all heads keep together, and how they share them.
struct Budget {
  // Of each head in the mean, window included: a number, or a share of the tokens read so far.
  std::optional<uint64_t> tokens = {};
  double share = 1;

  enum class Shares : uint8_t {
    kEven,
    kFalling,    // from the first layer to the last (PyramidKV: Cai et al. 2024)
    kEntropy,    // by the matrix entropy of a head's keys (UNComp: Xiong et al. 2024)
    kAttention,  // where what is left out got least (Ada-KV: Feng et al. 2024); attention of the
                 // last kLatest queries
    kClasses,    // `ratio` to 1 among two classes of heads (HACK: Qin et al. 2025)
    kWeights,    // as `weights` say
  };
  Shares shares = Shares::kEven;
  static constexpr uint64_t kLatest = 32;
  // Of kAttention: who shares. Heads of one layer, each layer keeping as many; heads of all layers;
  // or layers, the heads of each keeping as many.
  enum class Among : uint8_t { kLayer, kAll, kLayers };
  Among among = Among::kLayer;
  // Of kEntropy: layers fall into so many groups, one beginning where the entropy of keys, the mean
  // over the layer's heads, is farthest below that of the layer before; the first group's have
  // `ratio` times as much as the last's.
  uint64_t groups = 1;
  // Of kWeights: of each head, those of the first layer first.
  std::vector<double> weights = {};
  // Of kFalling: the first layer's to the last's; of kEntropy as said; of kClasses: that of heads
  // which give to the same tokens whatever the query is, to that of heads whose attention moves
  // with the query.
  double ratio = 2;
  // Of kClasses, of heads that move: which tokens they keep, others keeping what `keep` says; their
  // part of all heads, those with the most variance between the last 32 queries before tokens leave
  // for the first time; or, if not empty, who they are: "0110…", the heads of the first layer
  // first.
  std::optional<select::Policy> moving = {};
  double part = 0.5;
  std::string heads = {};

  uint64_t of(uint64_t read) const;
};

// How many of the tokens queries read, those of 32 rows of attention together: what lies as it is,
// the first tile, and of the others the tiles that promise most.
struct Reads {
  // By what a tile promises: the most that any of its keys could give, from the least and the
  // largest number of each channel (Quest: Tang et al. 2024), or what the mean of its keys gives.
  enum class By : uint8_t { kBound, kMean };
  Budget of = {};  // tokens or a share of those read so far
  By by = By::kBound;
};

// Where a token stands for its key's rotation.
enum class Positions : uint8_t {
  kText,   // where it was read
  kCache,  // where it lies among what is kept, so that positions never pass the budget and the
           // latest tokens (StreamingLLM: Xiao et al. 2023)
};

// When tokens leave while a prompt is read.
enum class Prompts : uint8_t {
  kPieces,  // after every 512 tokens
  kWhole,   // after whole calls of feed()
  kAsked,   // likewise after pieces; where it is known what will be asked, by what that gives
};

// Where tiles end.
enum class Cut : uint8_t {
  kEven,   // after `tile` tokens
  kSpans,  // where tokens do that attend to each other, of `tile` at most (pith/select/spans.h), by
           // what the queries of those that lie as they are give to each other (Ltri-LLM: Tang et
           // al. 2024)
};

// The axes of a profile, of each head by itself, along which tiles lie.
struct AxesOptions {
  std::string path;
  std::shared_ptr<const Profile> profile;
  // Of all axes so many are in the options' forms; `ranks` says of which heads.
  double kept = 1;
  Ranks ranks = Ranks::kSearched;
  std::optional<form::Expression> rest = {};  // the form of the others; unset: they are dropped
};

struct CacheOptions {
  Coding keys, values;          // along axes a channel is an axis
  uint64_t window = 128;        // the latest tokens that stay as they are, at least
  uint64_t sink = 0;            // the first tokens that stay in f16
  uint64_t tile = kTileTokens;  // tokens that leave the window at a time
  std::optional<AxesOptions> axes = {};
  std::optional<select::Policy> keep = {};  // which of those stay; unset: all
  std::optional<Budget> budget = {};
  std::optional<Reads> reads = {};  // unset: all that is held
  // Of the queries, so many say what tokens get: half of them the latest that are read together,
  // half drawn at random (ZipCache: He et al. 2024).
  double probes = 1;
  // Channels of keys are in units of the root of their largest size in a tile over the largest that
  // queries had there (MiKV: Yang et al. 2024).
  bool balanced = false;
  Positions positions = Positions::kText;
  Prompts prompts = Prompts::kPieces;
  // The heads of a layer keep the same tokens, by what all of them gave and by all of their keys
  // (Finch: Corallo and Papotti 2024).
  bool together = false;
  Cut cut = Cut::kEven;

  // Reads the profile. Throws ErrorKind::kUsage with the place for anything that is no cache,
  // kLimit for a budget that is less than what must stay, kIo and kData for a profile that cannot
  // be read. Whether forms fit the model's heads, tile_bits() says.
  static CacheOptions parse(std::string_view text);
  std::string text() const;
  // The same with the profile's id in place of its path: the same wherever the file lies.
  std::string name() const;
  // Throws ErrorKind::kUsage where a profile, or the labels of classes, are of heads of another
  // number or size.
  void check(const std::vector<uint64_t>& heads, uint64_t head_size) const;
  // The same with another budget: "256" or "25%". Throws ErrorKind::kUsage for anything else and
  // where `keep` says nothing that could be budgeted, kLimit as parse() does.
  CacheOptions with_budget(std::string_view wanted) const;
  // What a tile of one head takes, in the mean, of numbers drawn at random. Throws what
  // form::encode() throws for forms that heads of this size cannot have.
  uint64_t tile_bits(uint64_t head_size) const;
  // A budget of tokens, at least what must stay: the window, as far as it can grow, and what the
  // policy keeps in any case.
  uint64_t least(uint64_t wanted) const;
  // Whether what tokens get of queries must be known; of the latest so many between two times that
  // tokens leave, or of all (0).
  bool needs_attention() const;
  uint64_t latest_queries() const;
  // Heads are told apart by their attention.
  bool labels_heads() const;
  // Tokens of a head that are kept when so many were read, at most; read where nothing is left out.
  uint64_t kept(uint64_t read) const;
};

}  // namespace pith::kv
