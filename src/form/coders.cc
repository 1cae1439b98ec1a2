#include "coders.h"

#include <array>

#include "exponent.h"
#include "integer.h"
#include "pith/form/named.h"
#include "uniform.h"

namespace pith::form {
namespace {

constexpr std::array kCoders = {
    Coder{"exponent", ExponentForm::code},
    Coder{"rans", UniformForm::code},
};

}  // namespace

const Coder* find_coder(std::string_view name) { return find_named(kCoders, name); }

const Coder& coder_of(const Expression& expression) {
  const Expression& name = expression.operands()[1];
  const Coder* coder = name.is_call() ? find_coder(name.name()) : nullptr;
  if (!coder) {
    throw name.place().error(ErrorKind::kUsage, fmt::format("no coder is called `{}`; there are {}",
                                                            to_string(name), names_of(kCoders)));
  }
  return *coder;
}

FormPtr encode_coded(const Expression& expression, MatrixView matrix) {
  const Coder& coder = coder_of(expression);
  const Expression& form = expression.operands()[0];
  if (form.kind() == Expression::Kind::kBasis) {
    // What is coded is the form; a basis has nothing to code.
    const Expression coded =
        Expression::coder(form.operands()[1], expression.operands()[1], expression.place());
    return encode(Expression::basis(form.operands()[0], coded, form.place()), matrix);
  }
  if (IntegerForm::is_integer(expression)) return IntegerForm::encode(expression, matrix);
  return coder.code(expression.operands()[1], encode(form, matrix));
}

}  // namespace pith::form
