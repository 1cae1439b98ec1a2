// Floats of 16 bits, every bit kept, in fewer: `dense(bf16) > exponent`. The exponents of weights
// are few, so each gets a code of three bits, or stands among the escapes of its row; the product
// decodes them in registers. 11.2 bits an element instead of 16 for normal variables in bf16, 14.2
// in f16. The idea is that of DFloat11 (Zhang et al. 2025, arXiv 2504.11651), whose Huffman codes
// are for GPUs; codes of one length are for vector registers.
#pragma once

#include "dense.h"
#include "exponent_rows.h"
#include "pith/base/buffer.h"
#include "pith/form/form.h"

namespace pith::form {

class ExponentForm final : public Form {
 public:
  struct Arrays {
    bool half = false;  // f16, else bf16
    uint64_t table_rows = 1;
    Buffer tables, starts, blocks, escapes;
  };
  // Arrays of the sizes that exponent_rows.h gives.
  ExponentForm(Shape shape, Arrays arrays);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "exponent"; }
  void write_body(BodyWriter& to) const override;

  static FormPtr read(Shape shape, BodyReader& in);
  // Throws ErrorKind::kUsage at the coder unless the form is dense(bf16) or dense(f16).
  static FormPtr code(const Expression& coder, const FormPtr& form);

 private:
  ExponentRows rows() const;

  Arrays arrays_;
};

// Elements as they are, where codes would only make them larger.
class PlainExponentForm final : public Form {
 public:
  explicit PlainExponentForm(std::shared_ptr<const DenseForm> dense);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "exponent"; }
  void write_body(BodyWriter& to) const override;

 private:
  std::shared_ptr<const DenseForm> dense_;
};

// The seven most frequent exponents of all rows, or of each 16 or each single row: whichever takes
// the fewest bytes.
struct ExponentTables {
  uint64_t table_rows = 1;
  Bytes tables;
  uint64_t escapes = 0;
};
// Of a bf16 or f16 matrix with at least one row.
ExponentTables choose_exponent_tables(const DenseForm& dense);
// There may be at most 2^32 - 1 escapes.
ExponentForm::Arrays exponent_codes(const DenseForm& dense, const ExponentTables& tables);

}  // namespace pith::form
