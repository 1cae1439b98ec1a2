// The kinds of form: how each is read and made. A new kind is a class, these two functions and a
// line in kinds.cc.
#pragma once

#include <string_view>

#include "pith/form/form.h"
#include "storage.h"

namespace pith::form {

struct Kind {
  std::string_view name;  // as written, and as in the notation
  FormPtr (*read)(Shape shape, BodyReader& in);
  // Null: the kind is made by an operator or by another kind.
  FormPtr (*encode)(const Expression& call, MatrixView matrix);
};

const Kind* find_kind(std::string_view name);

// The first value that is not finite is refused, with its place.
void require_finite(MatrixView matrix, std::string_view form);

}  // namespace pith::form
