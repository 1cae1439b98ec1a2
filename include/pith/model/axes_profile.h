// Profiles of keys and values (pith/kv/profile.h) that need the model that makes them.
#pragma once

#include <cstdint>
#include <span>

#include "pith/kv/profile.h"
#include "pith/model/language_model.h"

namespace pith::model {

// The rotation that the model gives its keys: with frequencies of its own where they are scaled or
// turn only a part of a head. Where they depend on the length of a text, those of short ones: what
// is undone is done again all the same.
kv::Rotation rotation_of(const DecoderConfig& config);

// The axes of the weights alone, whatever they are multiplied with: of each head the left singular
// directions of its rows of W_K and of W_V. Throws ErrorKind::kUsage where a layer has no
// attention.
kv::Profile weight_profile(const LanguageModel& model);

struct HarmOptions {
  uint64_t context = 512;  // tokens of a text
  uint64_t queries = 64;   // the last ones of it
  uint64_t near = 32;      // tokens before these that stay as they are, and
  uint64_t first = 4;      // so many at the beginning
  uint64_t texts = 8;      // at most
};

// Of a profile of heads by themselves, each head's axes in the order of what is lost without them:
// the squared change of what the head adds to the stream, over the stream's own square, when all
// tokens but the near and the first ones have the mean in place of their coordinate. (Channels
// measured so: FourierAttention, 2025.) ids: of some text. Throws ErrorKind::kUsage for another
// profile, and for a text shorter than the context.
kv::Profile ordered_by_harm(const LanguageModel& model, kv::Profile profile,
                            std::span<const int32_t> ids, const HarmOptions& options = {},
                            int threads = 1);

// The axes of each head that lose least of what attention adds to the stream, of a first-order
// expansion with its weights: no other choice of so many numbers, linear in the token, loses less.
// Importance is that loss. Keys that no query asks for and values that no output reads weigh
// nothing. ids, options, errors: as above.
kv::Profile attention_profile(const LanguageModel& model, std::span<const int32_t> ids,
                              const HarmOptions& options = {}, int threads = 1);

}  // namespace pith::model
