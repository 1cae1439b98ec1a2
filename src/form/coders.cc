#include "coders.h"

#include <algorithm>
#include <array>

#include "exponent.h"
#include "uniform.h"

namespace pith::form {
namespace {

constexpr std::array kCoders = {
    Coder{"exponent", ExponentForm::code},
    Coder{"rans", UniformForm::code},
};

std::string names() {
  std::string all;
  for (const Coder& c : kCoders) all += (all.empty() ? "" : ", ") + std::string(c.name);
  return all;
}

}  // namespace

const Coder* find_coder(std::string_view name) {
  const auto* found = std::ranges::find(kCoders, name, &Coder::name);
  return found == kCoders.end() ? nullptr : found;
}

FormPtr encode_coded(const Expression& expression, MatrixView matrix) {
  const Expression &form = expression.operands()[0], &name = expression.operands()[1];
  const Coder* coder = name.is_call() ? find_coder(name.name()) : nullptr;
  if (!coder) {
    throw name.place().error(ErrorKind::kUsage, fmt::format("no coder is called `{}`; there are {}",
                                                            to_string(name), names()));
  }
  return coder->code(name, encode(form, matrix));
}

}  // namespace pith::form
