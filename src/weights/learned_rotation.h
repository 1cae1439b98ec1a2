// The rotations of a model that rounding loses least with, by what a text shows.
#pragma once

#include <string_view>

#include "pith/model/rotated_weights.h"
#include "pith/weights/rotated_model.h"

namespace pith::weights {

// From Hadamard transforms of the options' seed on.
model::Rotation learned_rotation(const model::WeightSource& source, std::string_view text,
                                 const RotateOptions& options);

// The same without learning. stream: of all, else of values alone.
model::Rotation hadamard_rotations(const model::DecoderConfig& config, bool stream, uint64_t seed);

}  // namespace pith::weights
