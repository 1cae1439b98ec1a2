#include "expert_mix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "decoder_kernels.h"
#include "linear.h"

namespace pith::model {
namespace {

using form::Matrix;
using form::MatrixView;

// The experts of one token, most probable first (the lower number where two are the same), with
// their weights.
void choose(const DecoderConfig& c, const LeftOut& left_out, float* probabilities, uint32_t row,
            ExpertRoom& room) {
  softmax(c.experts, probabilities);
  room.order.resize(c.experts);
  for (uint32_t e = 0; e < c.experts; ++e) room.order[e] = e;
  // Probabilities that are NaN come last: the order stays one.
  const auto rank = [&](uint32_t e) {
    return std::isnan(probabilities[e]) ? -1.0F : probabilities[e];
  };
  std::ranges::partial_sort(
      room.order, room.order.begin() + c.experts_per_token,
      [&](uint32_t a, uint32_t b) { return rank(a) != rank(b) ? rank(a) > rank(b) : a < b; });
  const uint32_t kept = left_out.kept(row, c.experts_per_token,
                                      [&](uint32_t k) { return probabilities[room.order[k]]; });
  float sum = 0;
  for (uint32_t k = 0; k < kept; ++k) sum += probabilities[room.order[k]];
  const float scale = static_cast<float>(c.expert_scale) / (c.normalize_experts ? sum : 1.0F);
  for (uint32_t k = 0; k < kept; ++k) {
    const uint32_t e = room.order[k];
    room.choices.push_back({e, row, probabilities[e] * scale});
  }
}

// The rows that chose one expert go through it together.
void add_expert(const FeedForward& expert, std::span<const ExpertChoice> choices, MatrixView x,
                float* to, int threads, ExpertRoom& room, const InputObserver& observer) {
  const uint64_t width = x.shape.cols;
  gather_rows(x, choices, room.gathered);
  apply_feed_forward(expert, room.gathered.view(), room.given, threads, room.feed_forward,
                     observer);
  for (uint64_t k = 0; k < choices.size(); ++k) {
    add_scaled(room.given.row(k).data(), choices[k].weight, width, to + choices[k].row * width);
  }
}

void add_shared(const Experts& experts, MatrixView x, float* to, int threads, ExpertRoom& room,
                const InputObserver& observer) {
  apply_feed_forward(*experts.shared, x, room.given, threads, room.feed_forward, observer);
  if (experts.shared_gate) form::apply(*experts.shared_gate, x, room.router, threads);
  for (uint64_t r = 0; r < x.shape.rows; ++r) {
    const float scale =
        experts.shared_gate ? 1.0F / (1.0F + std::exp(-room.router.values[r])) : 1.0F;
    add_scaled(room.given.row(r).data(), scale, x.shape.cols, to + r * x.shape.cols);
  }
}

}  // namespace

void apply_gate_and_up(const FeedForward& ff, MatrixView x, int threads, FeedForwardRoom& room,
                       const InputObserver& observer) {
  const std::array<const Linear*, 2> linears = {&ff.gate, &ff.up};
  const std::array<Matrix*, 2> made = {&room.gate, &room.up};
  apply_linears<2>(linears, x, made, threads, observer);
}

void apply_feed_forward(const FeedForward& ff, MatrixView x, Matrix& y, int threads,
                        FeedForwardRoom& room, const InputObserver& observer) {
  apply_gate_and_up(ff, x, threads, room, observer);
  const uint64_t size = room.gate.shape.cols;
  for_rows(x.shape.rows, size * 8, threads,
           [&](uint64_t r) { silu_times(room.up.row(r).data(), size, room.gate.row(r).data()); });
  apply_linears<1>({&ff.down}, room.gate.view(), {&y}, threads, observer);
}

void choose_experts(const Experts& experts, const DecoderConfig& config, MatrixView x,
                    const LeftOut& left_out, int threads, ExpertRoom& room) {
  form::apply(*experts.router, x, room.router, threads);
  room.choices.clear();
  for (uint32_t r = 0; r < x.shape.rows; ++r) {
    choose(config, left_out, room.router.row(r).data(), r, room);
  }
  std::ranges::stable_sort(room.choices, {}, &ExpertChoice::expert);
}

void gather_rows(MatrixView x, std::span<const ExpertChoice> choices, Matrix& gathered) {
  const uint64_t width = x.shape.cols;
  reshape(gathered, choices.size(), width);
  for (uint64_t k = 0; k < choices.size(); ++k) {
    std::memcpy(gathered.row(k).data(), x.row(choices[k].row).data(), width * sizeof(float));
  }
}

void add_experts(const Experts& experts, MatrixView x, float* to, int threads, ExpertRoom& room,
                 const InputObserver& observer) {
  const std::span<const ExpertChoice> choices = room.choices;
  for (size_t begin = 0; begin < choices.size();) {
    size_t end = begin;
    while (end < choices.size() && choices[end].expert == choices[begin].expert) ++end;
    add_expert(experts.experts[choices[begin].expert], choices.subspan(begin, end - begin), x, to,
               threads, room, observer);
    begin = end;
  }
  if (experts.shared) add_shared(experts, x, to, threads, room, observer);
}

}  // namespace pith::model
