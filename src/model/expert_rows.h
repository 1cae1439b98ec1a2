// One expert's matrix in a form that holds those of all experts, one below the other.
#pragma once

#include "pith/form/form.h"

namespace pith::model {

// The rows first <= r < last of `all`, which must be there.
form::FormPtr expert_rows(form::FormPtr all, uint64_t first, uint64_t last);

// The form that `form` is rows of; else itself.
const form::Form& whole_of(const form::Form& form);

}  // namespace pith::model
