#include "pith/form/kept_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace pith::form {
namespace {

FormPtr kept_lines(const Matrix& m, uint64_t kept, uint64_t all, const char* pattern,
                   const Expression& values) {
  if (kept == all) return encode(values, m.view());
  const auto e = parse(fmt::format("sparse({}%, pattern={}, values={})",
                                   100 * static_cast<double>(kept) / static_cast<double>(all),
                                   pattern, to_string(values)));
  return encode(e, m.view());
}

}  // namespace

FormPtr kept_rows(const Matrix& m, const Expression& values) {
  uint64_t kept = 0;
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    kept += std::ranges::any_of(m.view().row(r), [](float v) { return v != 0; }) ? 1 : 0;
  }
  return kept_lines(m, kept, m.shape.rows, "rows", values);
}

FormPtr kept_columns(const Matrix& m, const Expression& values) {
  std::vector<uint8_t> any(m.shape.cols);
  for (uint64_t i = 0; i < m.values.size(); ++i) {
    if (m.values[i] != 0) any[i % m.shape.cols] = 1;
  }
  return kept_lines(m, std::accumulate(any.begin(), any.end(), uint64_t{0}), m.shape.cols,
                    "columns", values);
}

}  // namespace pith::form
