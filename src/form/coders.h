// What may stand after `>`: ways to store the numbers of another form in fewer bytes. A new coder
// is a function, a line in coders.cc, and a kind of form (kinds.h) that it makes.
#pragma once

#include <string_view>

#include "pith/form/form.h"

namespace pith::form {

struct Coder {
  std::string_view name;
  // The form with the same numbers, coded. Throws ErrorKind::kUsage, at the coder's place, for
  // arguments that it does not have and forms that it cannot code.
  FormPtr (*code)(const Expression& coder, const FormPtr& form);
};

const Coder* find_coder(std::string_view name);

// The coder of `form > coder`. Throws ErrorKind::kUsage when there is none of its name.
const Coder& coder_of(const Expression& expression);
// Of `form > coder`; `basis | form > coder` is `basis | (form > coder)`.
FormPtr encode_coded(const Expression& expression, MatrixView matrix);

}  // namespace pith::form
