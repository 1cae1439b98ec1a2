// Fits `integer(...) > rans`: integers of any size times steps of rows and columns, entropy-coded.
//
//   IntegerFit fit(parse("integer > rans"), weights.view(), steps);
//   for (panel ...) for (column ...) fit.choose(panel, column, wanted, fit.lambda(), values);
//   fit.update_costs();  // and once more over everything, now with costs of what was chosen
//   FormPtr form = fit.form();
//
// element = step * 2^((rows[r] + columns[c]) / 4) * level, where the level is the code (states = 1)
// or follows from the code and the state of a trellis that runs down the 64 rows of a panel in each
// column: integers in even states, halves and zero in odd ones. So about as many bits go with a
// step whatever the states; the squared error with a trellis of 8 states is 0.78 of that
// without one, of 64 states (the default) 0.75.
//
// Panels are independent: threads may work on panels of their own, with nothing but choose(). The
// same calls give the same bytes, whatever the number of threads and the instruction set.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pith/form/form.h"

namespace pith::form {

// Quarter octaves of the matrix's rows and columns; step > 0.
struct IntegerSteps {
  float step = 0;
  std::vector<int8_t> rows, columns;
};

class IntegerFit {
 public:
  static constexpr uint64_t kPanelRows = 64;

  // `expression` is `integer(...) > rans`; its bits and step are not looked at. The weights say how
  // large codes will be (they are not kept): costs are those of a model before update_costs().
  // Throws ErrorKind::kUsage for other expressions, kData for steps that do not fit the matrix.
  IntegerFit(const Expression& expression, MatrixView weights, IntegerSteps steps);
  IntegerFit(IntegerFit&&) noexcept;
  ~IntegerFit();

  Shape shape() const;
  uint64_t panels() const;
  int states() const;
  // The weight of a bit with which normal variables get the least error for their bits: about what
  // error loses for a bit at high rates, 2 ln 2 times the squared error over the squared step.
  double lambda() const;

  // Chooses the codes of one column for the rows of one panel: the least sum over its rows of
  //   ((wanted - value) / step of the element)^2 + lambda * bits(code)
  // along the trellis; lambda = 0 gives the nearest. `values` gets what the form will decode to,
  // bit for bit.
  void choose(uint64_t panel, uint64_t column, const float* wanted, double lambda, float* values);

  // Bits of all codes chosen so far by the model of costs; after form() those of the form.
  double bits() const;
  // Of this column of this panel by the model of costs.
  double bits(uint64_t panel, uint64_t column) const;
  // Makes the costs those of the codes chosen so far, for another round of choose() over all.
  void update_costs(int threads = 1);
  // The form, after all codes were chosen; those that were not are zeros. gain: a factor for all
  // elements.
  FormPtr form(int threads = 1, float gain = 1);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pith::form
