// What means over all tokens hide: how many were hurt, how much the worst were, and which kinds of
// tokens they are.
//
//   std::vector<ScoredToken> tokens;
//   options.each = [&](const ScoredToken& t) { tokens.push_back(t); };
//   evaluate(model, ids, options, &reference);
//   Harm harm = find_harm(tokens, groupings);
//
// Compression changes few predictions, and not those of all inputs alike: what is rare, and what
// the model found hard before, changes most (Hooker et al. 2019, "What do compressed deep neural
// networks forget?"; Hooker et al. 2020, "Characterising bias in compressed models"). There a
// population of models tells which inputs change; here one model is held against itself before it
// was compressed, token by token.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pith/audit/perplexity.h"
#include "pith/audit/token_groups.h"

namespace pith::audit {

struct HarmOptions {
  double risen = 0.5;   // nats by which a token's loss must have risen to count
  double worst = 0.01;  // the share of tokens that are the worst; at least one
  uint64_t bins = 15;   // of confidence
};

// Rises are losses minus the reference's, in nats.
struct GroupHarm {
  std::string name;
  uint64_t tokens = 0;
  double reference_loss = 0;        // mean, nats
  double divergence = 0, rise = 0;  // means
  double risen = 0;                 // share of tokens whose loss rose by more than options.risen
  double worst_rise = 0;            // mean of the worst
  double flips = 0;                 // share with another most probable token
};

// How far a model's confidence in its best token is from how often that one is right: the mean over
// bins of equal width, by their share of tokens (expected calibration error; Guo et al. 2017).
struct Confidence {
  double error = 0, right = 0;  // shares
};

struct Harm {
  GroupHarm all;
  // Of `all`, with errors and intervals from windows.
  Measured risen, flips;
  struct Groups {
    std::string name;
    std::vector<GroupHarm> groups;  // those that have tokens
  };
  std::vector<Groups> groupings;
  Confidence confidence, reference_confidence;
  // What the reference lost, on average, at tokens where the best one is another now, and
  // elsewhere; NaN where there are none.
  double reference_loss_of_flips = 0, reference_loss_of_others = 0;
};

// The tokens come window by window. Throws ErrorKind::kUsage for no tokens, options outside their
// ranges and groups that a grouping does not have.
Harm find_harm(std::span<const ScoredToken> tokens, std::span<const Grouping> groupings,
               const HarmOptions& options = {});

}  // namespace pith::audit
