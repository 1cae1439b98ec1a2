// A form as a Python object.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pith/archive/stored_form.h"
#include "pith/base/parallel.h"
#include "pith/form/form.h"

namespace pith::python {

struct PyForm {
  form::FormPtr form;
};

// Rules as Python has them: (pattern, expression, or None to stay lossless).
using FormRuleArgument = std::pair<std::string, std::optional<std::string>>;
std::vector<archive::FormRule> form_rules(const std::vector<FormRuleArgument>& arguments);

}  // namespace pith::python
