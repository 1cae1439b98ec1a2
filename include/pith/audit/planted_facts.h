// What a cache of keys and values forgets: texts with facts that are asked for at the end, and a
// model that answers, built rather than trained.
//
// The model is an induction circuit (Olsson et al., "In-context learning and induction heads",
// 2022): a head of the first layer brings each token the one before it, one of the second looks for
// the token behind an earlier like the present one. With a full cache it answers nearly always, so
// that what fails is the cache's. It has no grammar: of what else a text says nothing is known.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "pith/kv/options.h"
#include "pith/model/language_model.h"

namespace pith::audit {

// Two layers of one head of 96, 640 tokens. The same for equal seeds. alike: the cosine of two
// tokens of one of 16 topics (0 … 1, of others about 0): those of a topic then look at each other
// where there is nothing better to look at.
model::LanguageModel make_recall_model(uint64_t seed = 1, double alike = 0);

struct PlantedFacts {
  std::vector<int32_t> ids;  // the last asks for one of the facts
  int32_t answer = 0;
  uint64_t place = 0;  // of the fact in ids
};

// Texts of `length` tokens for that model: words drawn at random, among them `facts` pairs of a
// name and what goes with it, no name twice, all in the first nine tenths. Throws ErrorKind::kUsage
// for more than 64 facts or where they do not fit.
std::vector<PlantedFacts> plant_facts(uint64_t texts, uint64_t length, uint64_t facts,
                                      uint64_t seed);

// The same in segments of 12 to 32 tokens, each of a topic that the one before does not have, names
// and what goes with them in segments of the name's.
std::vector<PlantedFacts> plant_in_segments(uint64_t texts, uint64_t length, uint64_t facts,
                                            uint64_t seed);

// The share of texts whose answer is the most probable token, each read by a session of its own,
// the question when tokens have left after the rest; caches with `prompts=asked` know it before.
// Throws what Session does.
double recall(const model::LanguageModel& model, std::span<const PlantedFacts> texts,
              const std::optional<kv::CacheOptions>& cache = {}, int threads = 1);

}  // namespace pith::audit
