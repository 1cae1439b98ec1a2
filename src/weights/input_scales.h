// How much larger the channels are that the norms of a model's layers give than others of the same
// norm, by what a text shows.
#pragma once

#include <string_view>
#include <vector>

#include "pith/weights/rotated_model.h"

namespace pith::weights {

// As model::Rotation::scales: root mean squares to the power of options.smooth, over their
// geometric mean. Ones behind norms that no token came by. Throws what calibrate() does.
std::vector<std::vector<float>> input_scales(const model::LanguageModel& model,
                                             std::string_view text, const RotateOptions& options);

}  // namespace pith::weights
