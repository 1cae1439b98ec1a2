// The parts that a stream of keys and values is cut into, each with codes of its own.
#pragma once

#include <cstdint>
#include <vector>

#include "pith/form/matrix.h"
#include "pith/kv/arrays.h"
#include "pith/kv/profile.h"
#include "pith/kv/rotation.h"

namespace pith::kv {

// Heads first … first + heads - 1 of the keys or the values, as one matrix of tokens and channels.
struct Plane {
  bool values = false;
  uint64_t first = 0, heads = 0;
  uint64_t layer = 0, layers_done = 0;  // how many layers are whole once this one is there
  const Span* span = nullptr;           // whose axes the channels are, else those of the heads
  uint64_t kept = 0;                    // axes
};

// Layer by layer, keys and values; with a profile its spans, in an order in which layers become
// whole as early as may be. kept: axes of each span.
std::vector<Plane> planes_of(const std::vector<uint64_t>& heads, const Profile* profile,
                             const std::vector<uint64_t>& kept);

// What is coded: [token][channel], keys before their rotation if there is a rotator; along the axes
// of the span if there is one.
form::Matrix gather(const Arrays& arrays, const Plane& plane, const Rotator* rotator);

// [token][channel] of a plane without a span.
uint64_t width(const Plane& plane, uint64_t head_size);

// From coordinates along `axes` of the span's axes, [token][axis], to the heads of the arrays.
void scatter(const Plane& plane, const float* coordinates, uint64_t axes, Arrays& arrays);

}  // namespace pith::kv
