#include <algorithm>
#include <cmath>

#include "stream_block.h"

namespace pith::kv {
namespace {

// Far beyond what any table has, and what a float holds exactly.
constexpr float kMostCode = 1 << 23;

int32_t code_of(float v, float step) {
  if (step <= 0) return 0;
  return static_cast<int32_t>(std::lrint(std::clamp(v / step, -kMostCode, kMostCode)));
}

// What the decoder will have.
float restored(float from, int32_t code, float step) {
  return from + static_cast<float>(code) * step;
}

void quantize_mean(const form::Matrix& plane, PlaneCodes& codes) {
  const auto [tokens, channels] = plane.shape;
  codes.means.assign(channels, 0);
  std::vector<double> sums(channels);
  for (uint64_t t = 0; t < tokens; ++t) {
    for (uint64_t c = 0; c < channels; ++c) sums[c] += plane.values[t * channels + c];
  }
  for (uint64_t c = 0; c < channels && tokens > 0; ++c)
    codes.means[c] =
        code_of(static_cast<float>(sums[c] / static_cast<double>(tokens)), codes.steps[c]);
}

void quantize_groups(const form::Matrix& plane, const Scheme& scheme, PlaneCodes& codes) {
  const uint64_t channels = plane.shape.cols;
  float most = 0;
  for (uint64_t t = 0; t < scheme.tokens; t += scheme.group) {
    for (uint64_t c = 0; c < channels; ++c)
      most = std::max(most, std::abs(plane.values[t * channels + c]));
  }
  codes.anchor_step = most > 0 ? most / 127 : 1;
  for (uint64_t c = 0; c < channels; ++c) {
    float from = 0;
    for (uint64_t t = 0, a = 0, o = 0; t < scheme.tokens; ++t) {
      const float v = plane.values[t * channels + c];
      if (t % scheme.group == 0) {
        int32_t& code = codes.anchors[c * scheme.anchors() + a++];
        code = code_of(v, codes.anchor_step);
        from = restored(0, code, codes.anchor_step);
        continue;
      }
      int32_t& code = codes.others[c * scheme.others() + o++];
      code = code_of(v - from, codes.steps[c]);
      if (scheme.deltas == Deltas::kPrevious) from = restored(from, code, codes.steps[c]);
    }
  }
}

}  // namespace

void quantize(const form::Matrix& plane, const Scheme& scheme, PlaneCodes& codes) {
  const uint64_t channels = plane.shape.cols;
  codes.anchors.assign(channels * scheme.anchors(), 0);
  codes.others.assign(channels * scheme.others(), 0);
  if (scheme.grouped()) return quantize_groups(plane, scheme, codes);
  if (scheme.deltas == Deltas::kMean) quantize_mean(plane, codes);
  for (uint64_t c = 0; c < channels; ++c) {
    const float step = codes.steps[c];
    const float from = codes.means.empty() ? 0 : restored(0, codes.means[c], step);
    for (uint64_t t = 0; t < scheme.tokens; ++t)
      codes.others[c * scheme.tokens + t] = code_of(plane.values[t * channels + c] - from, step);
  }
}

std::vector<float> steps_of_bits(const std::vector<uint8_t>& bits, float unit,
                                 const std::vector<float>& deviations) {
  std::vector<float> steps(bits.size());
  for (size_t c = 0; c < bits.size(); ++c)
    steps[c] = bits[c] == 0 ? 0 : std::ldexp(unit * deviations[c], -static_cast<int>(bits[c]));
  return steps;
}

}  // namespace pith::kv
