// Tensors as GGUF files hold them: blocks of 32 or 256 elements, used where they lie.
#pragma once

#include <memory>
#include <mutex>

#include "panel_matrix.h"
#include "pith/base/buffer.h"
#include "pith/base/dtype.h"
#include "pith/form/form.h"

namespace pith::form {

struct CodeRows;

class GgmlForm final : public Form {
 public:
  // blocks: rows of whole blocks of a type that is_ggml_type(); ErrorKind::kData unless they fill
  // the shape.
  GgmlForm(Shape shape, DType type, Buffer blocks);

  Expression expression() const override;
  void decode(uint64_t first, uint64_t last, float* out) const override;
  // Rearranges the blocks of all but small matrices at the first call; multiply() computes with
  // what that made.
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  void add_rows(const RowSums& sums) const override;
  Direct direct() const override;
  void fetch() const override { fetch_bytes(blocks_.bytes); }
  std::string_view kind() const override { return "ggml"; }
  void write_body(BodyWriter& to) const override;

  DType type() const { return type_; }
  const Buffer& blocks() const { return blocks_; }

  static FormPtr read(Shape shape, BodyReader& in);
  // ggml(q4_K). Throws ErrorKind::kUsage for rows that are not whole blocks.
  static FormPtr encode(const Expression& call, MatrixView matrix);

 private:
  uint64_t row_bytes() const;
  bool stays() const;
  CodeRows rows(uint64_t first, uint64_t last) const;

  DType type_;
  Buffer blocks_;
  mutable std::once_flag once_;
  mutable std::shared_ptr<const PanelMatrix> panels_;  // null: decoded to be multiplied
};

// Types whose blocks can be decoded: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, Q8_K, IQ4_NL,
// IQ4_XS, MXFP4, TQ1_0 and TQ2_0.
bool is_ggml_type(DType type);

// info(type).block_elements floats of one block, rounded as llama.cpp rounds them.
void decode_ggml_block(DType type, const uint8_t* block, float* out);

// Blocks with little squared error, of finite floats.
void encode_ggml_blocks(DType type, const float* from, uint64_t blocks, uint8_t* to);

}  // namespace pith::form
