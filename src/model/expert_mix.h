// The feed-forward part of a layer with experts: a few of many networks, chosen for each token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/model/config.h"
#include "pith/model/input_observer.h"
#include "pith/model/language_model.h"
#include "pith/model/routing_observer.h"

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
  std::vector<ExpertChoice> choices;
  std::vector<uint32_t> order;
};

// Which experts rows do without.
struct LeftOut {
  ExpertThresholds thresholds = {};
  std::span<const float> importance = {};  // of each row; empty: no row is protected
  // How many of the chosen a row keeps, whose probabilities are sorted, largest first.
  template <class Probability>
  uint32_t kept(uint64_t row, uint32_t chosen, const Probability& at) const {
    if (!(thresholds.ratio > 0)) return chosen;
    if (!importance.empty() && importance[row] >= thresholds.importance) return chosen;
    while (chosen > 1 && at(chosen - 1) < thresholds.ratio * at(0)) --chosen;
    return chosen;
  }
};

// The experts that each row chooses and keeps, sorted by expert, then by row, to room.choices; and
// the probabilities of all of them to room.router.
void choose_experts(const Experts& experts, const DecoderConfig& config, form::MatrixView x,
                    const LeftOut& left_out, int threads, ExpertRoom& room);

// The rows of x that the choices name, one after the other.
void gather_rows(form::MatrixView x, std::span<const ExpertChoice> choices, form::Matrix& gathered);

// to[row] += what the experts in room.choices make of x[row], and the shared one.
void add_experts(const Experts& experts, form::MatrixView x, float* to, int threads,
                 ExpertRoom& room, const InputObserver& observer);

}  // namespace pith::model
