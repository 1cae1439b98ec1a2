// What decides the keys and values that a model gives a text.
#pragma once

#include "pith/base/hash.h"
#include "pith/model/language_model.h"

namespace pith::model {

// Of the config and of the bytes of all weights but the head, in the forms that they are in: the
// same for a model and a lossless archive of it, another one for every other model. `capacity`: of
// the session, where rotations by positions depend on the length of the text. Reads all weights.
Hash128 model_hash(const LanguageModel& model, uint64_t capacity, int threads = 1);

}  // namespace pith::model
