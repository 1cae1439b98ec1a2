#include "pith/form/integer_rows.h"

#include <cmath>

#include "uniform.h"

namespace pith::form {

std::optional<IntegerRows> integer_rows(const Form& form) {
  const auto* uniform = dynamic_cast<const UniformForm*>(&form);
  if (!uniform || uniform->parameters().zero) return std::nullopt;
  const Shape shape = form.shape();
  if (group_length(uniform->parameters(), shape.cols) != shape.cols) return std::nullopt;
  const std::vector<float>& levels = uniform->levels();
  for (const float level : levels) {
    if (std::abs(level) > 127 && level != -128) return std::nullopt;
    if (level != std::floor(level)) return std::nullopt;
  }
  IntegerRows out{shape, uniform->parameters().bits, std::vector<int16_t>(shape.size()),
                  std::vector<float>(shape.rows)};
  std::vector<uint8_t> codes(shape.cols);
  for (uint64_t r = 0; shape.size() > 0 && r < shape.rows; ++r) {
    uniform->matrix()->codes(r, codes.data());
    const float scale = uniform->matrix()->scale_and_zero(r, 0)[0], sign = scale < 0 ? -1.0F : 1.0F;
    out.scales[r] = sign * scale;
    for (uint64_t c = 0; c < shape.cols; ++c) {
      out.codes[r * shape.cols + c] = static_cast<int16_t>(sign * levels[codes[c]]);
    }
  }
  return out;
}

}  // namespace pith::form
