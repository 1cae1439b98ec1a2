// Profiles of a model's keys and values.
#pragma once

#include <string>

#include "pith/kv/profile.h"
#include "pith/model/language_model.h"

namespace pith::command {

// What `pith kv profile` makes of a text with these options: "--joined head --axes attention".
kv::Profile profile_of(const model::LanguageModel& model, const std::string& text,
                       const std::string& options, int threads);

}  // namespace pith::command
