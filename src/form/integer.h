// integer(bits | step, states) > rans: integers of any size times steps of rows and columns, chosen
// along a trellis if there are states, and entropy-coded in classes of spread.
#pragma once

#include <memory>

#include "integer_stream.h"
#include "pith/form/form.h"

namespace pith::form {

class BodyReader;
class BodyWriter;

// What an expression says.
struct IntegerParameters {
  enum class Size : uint8_t { kAny, kBits, kStep };  // kAny: kDefaultBits, or as a fitter has it
  static constexpr float kDefaultBits = 4;
  static constexpr int kDefaultStates = 64;

  Size size = Size::kAny;
  float value = kDefaultBits;  // bits of an element, or the step
  int states = kDefaultStates;
  double lambda = 1;  // times IntegerFit::lambda()
};
// Of `integer(...) > rans`.
IntegerParameters integer_parameters(const Expression& expression);

class IntegerForm final : public Form {
 public:
  struct Body {
    IntegerParameters asked;
    IntegerTrellis trellis{1};
    IntegerSteps steps;
    IntegerClasses classes;
    Bytes side;                  // the lists and tables, coded
    std::vector<uint64_t> ends;  // of the panels' streams
    Buffer streams;
  };

  // `codes`: of each panel column by column, kIntegerRows each. Throws ErrorKind::kUsage for steps
  // beyond floats.
  static FormPtr make(Shape shape, const IntegerParameters& asked, IntegerSteps steps,
                      IntegerClasses classes, const std::vector<int16_t>& codes, int threads);
  IntegerForm(Shape shape, Body body, const IntegerTables& tables);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "integer"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  // Of the call alone, which is refused: there is no way to store it but coded.
  static FormPtr refuse(const Expression& call, MatrixView matrix);
  // Of `integer(...) > rans`.
  static FormPtr encode(const Expression& expression, MatrixView matrix);
  static bool is_integer(const Expression& expression);

 private:
  IntegerPanelDecoder panel(uint64_t panel) const;

  Body body_;
  IntegerScales scales_;
  IntegerDecodeTables tables_;
};

// Whether all elements are finite floats, whatever the codes.
bool integer_steps_fit(const IntegerSteps& steps);

}  // namespace pith::form
