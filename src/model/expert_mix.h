// The feed-forward part of a layer with experts: a few of many networks, chosen for each token.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/model/config.h"
#include "pith/model/input_observer.h"
#include "pith/model/language_model.h"

namespace pith::model {

// Room that feed-forward layers use again and again.
struct FeedForwardRoom {
  form::Matrix gate, up;
};

// y = down(silu(gate(x)) * up(x)); a row for each vector.
void apply_feed_forward(const FeedForward& ff, form::MatrixView x, form::Matrix& y, int threads,
                        FeedForwardRoom& room, const InputObserver& observer);

struct ExpertRoom {
  FeedForwardRoom feed_forward;
  form::Matrix router, gathered, given;
  struct Choice {
    uint32_t expert, row;
    float weight;
  };
  std::vector<Choice> choices;
  std::vector<uint32_t> order;
};

// to[row] += what the experts make of x[row].
void add_experts(const Experts& experts, const DecoderConfig& config, form::MatrixView x, float* to,
                 int threads, ExpertRoom& room, const InputObserver& observer);

}  // namespace pith::model
