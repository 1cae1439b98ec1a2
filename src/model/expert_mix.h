// The feed-forward part of a layer with experts: a few of many networks, chosen for each token.
#pragma once

#include <cstdint>
#include <span>
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

// room.gate = gate(x), room.up = up(x); a row for each vector.
void apply_gate_and_up(const FeedForward& ff, form::MatrixView x, int threads,
                       FeedForwardRoom& room, const InputObserver& observer);

// y = down(silu(gate(x)) * up(x)).
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

// The experts that each row chooses, sorted by expert, then by row, to room.choices; and the
// probabilities of all of them to room.router.
void choose_experts(const Experts& experts, const DecoderConfig& config, form::MatrixView x,
                    int threads, ExpertRoom& room);

// The rows of x that the choices name, one after the other.
void gather_rows(form::MatrixView x, std::span<const ExpertRoom::Choice> choices,
                 form::Matrix& gathered);

// to[row] += what the experts make of x[row].
void add_experts(const Experts& experts, const DecoderConfig& config, form::MatrixView x, float* to,
                 int threads, ExpertRoom& room, const InputObserver& observer);

}  // namespace pith::model
