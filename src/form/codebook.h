// Runs of neighbours in a row replaced by the nearest of the vectors in a codebook, or by a sum of
// one vector from each of several.
#pragma once

#include <memory>
#include <vector>

#include "code_stream.h"
#include "group_scales.h"
#include "tiled_form.h"

namespace pith::form {

// What a codebook is made of: `blocks` of `stages` tables, each of `size` vectors of `dim`
// elements.
struct CodebookShape {
  uint64_t size = 256;  // 2 to 65536
  uint64_t dim = 1;     // 1 to 256
  uint64_t stages = 1;  // 1 to 16
  uint64_t blocks = 1;
  DType type = DType::kF16;  // of the entries: f16, or i8
  bool operator==(const CodebookShape&) const = default;

  int bits() const;  // of a code
  // Entries that codes can name: what is beyond `size` is zero.
  uint64_t named() const { return uint64_t{1} << bits(); }
  uint64_t table() const { return named() * dim; }
};

// The vectors themselves; forms may share them.
class Codebook {
 public:
  // units: f32, what one step of the entries is worth: one for all f16, one for each table of i8.
  // Throws ErrorKind::kData for sizes that do not agree.
  Codebook(CodebookShape shape, Buffer units, Buffer entries);

  const CodebookShape& shape() const { return shape_; }
  // named() * dim floats.
  const float* table(uint64_t block, uint64_t stage) const {
    return values_.data() + (block * shape_.stages + stage) * shape_.table();
  }
  void write(BodyWriter& to) const;
  static std::shared_ptr<const Codebook> read(CodebookShape shape, BodyReader& in);
  // Of tables of size * dim floats each, rounded to the entries' type.
  static std::shared_ptr<const Codebook> rounded(CodebookShape shape,
                                                 const std::vector<std::vector<float>>& tables);

 private:
  CodebookShape shape_;
  Buffer units_, entries_;
  std::vector<float> values_;
};

struct CodebookParameters {
  CodebookShape codebook;          // `blocks` is for the matrix to say
  uint64_t rows = 0, columns = 0;  // that share a codebook; 0: all
  bool additive = false;           // codes of all stages were fitted together
  ScaleGroups scales{ScaleGroups::kNone};
};

// Codes of row r, stage s and run c are the (r * stages + s) * runs + c-th of the stream. Element =
// scale * the sum over the stages.
class CodebookForm final : public TiledForm {
 public:
  CodebookForm(Shape shape, const CodebookParameters& parameters,
               std::shared_ptr<const Codebook> codebook, Buffer scales, Buffer codes);

  Expression expression() const override;
  void prepare(Activations& x) const override;
  void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                uint64_t stride) const override;
  std::string_view kind() const override { return "codebook"; }
  void write_body(BodyWriter& to) const override;

  const std::shared_ptr<const Codebook>& codebook() const { return codebook_; }
  const CodebookParameters& parameters() const { return parameters_; }
  const GroupScales& group_scales() const { return scales_; }
  const CodeStream& codes() const { return codes_; }
  // The codebook of an element.
  uint64_t block_of(uint64_t row, uint64_t column) const;

  static FormPtr read(Shape shape, BodyReader& in);
  static FormPtr encode(const Expression& call, MatrixView matrix);

 protected:
  void decode_tile(uint64_t row, uint64_t begin, uint64_t n, float* out) const override;
  uint64_t tile_unit() const override { return parameters_.codebook.dim; }
  const GroupScales& scales() const override { return scales_; }

 private:
  // The columns from it on that have the same codebook.
  uint64_t left_in_block(uint64_t column) const;
  void decode_run(uint64_t row, uint64_t begin, uint64_t n, float* out) const;
  // Whether products of inputs and entries are made first, and rows then only add them up.
  bool uses_tables(uint64_t batch) const;
  void multiply_tables(const float* tables, uint64_t first, uint64_t last, float* out) const;

  CodebookParameters parameters_;
  uint64_t runs_;  // of a row
  std::shared_ptr<const Codebook> codebook_;
  GroupScales scales_;
  CodeStream codes_;
};

// Runs of `dim` columns in a row, and codebooks that a matrix needs.
uint64_t runs_of(const CodebookParameters& p, Shape shape);
uint64_t blocks_of(const CodebookParameters& p, Shape shape);

}  // namespace pith::form
