// Who was hurt by compression (pith/audit/harm.h), for programs and people.
#pragma once

#include <string>

#include "output.h"
#include "pith/audit/harm.h"

namespace pith::command {

// {"mean": …, "interval": [low, high]}
Json mean_json(const audit::Measured& measured);

Json harm_json(const audit::Harm& harm, const audit::HarmOptions& options);
std::string harm_text(const audit::Harm& harm, const audit::HarmOptions& options);

}  // namespace pith::command
