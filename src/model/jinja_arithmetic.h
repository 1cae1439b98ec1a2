// Operators on values, indexing and slicing, as Python does them.
#pragma once

#include <optional>
#include <string_view>

#include "jinja_value.h"

namespace pith::model::jinja {

// a op b of + - * / // % ** ~; Trouble where the types do not fit or integers overflow.
Value arithmetic(std::string_view op, const Value& a, const Value& b, Work& work);
Value negated(const Value& value);

// value[index]; undefined where there is no such element.
Value element(const Value& value, const Value& index, Work& work);
// value[start:stop:step]; undefined bounds: not given.
Value slice(const Value& value, const Value& start, const Value& stop, const Value& step,
            Work& work);

}  // namespace pith::model::jinja
