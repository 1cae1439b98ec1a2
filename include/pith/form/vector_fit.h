// Forms whose codes stand for several neighbours of a row, in the making, for fitters that choose
// codes, scales and entries themselves:
//
//   VectorFit fit(encode(parse("codebook(256, dim=4, group=row)"), weights));
//   fit.choose(…);        // codes of a run of columns in some rows
//   fit.set_entries(…);   // the numbers of the codebook, beside these codes
//   const FormPtr form = fit.form();
//
// It begins with the numbers that encode() found.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "pith/form/form.h"

namespace pith::form {

class VectorCodes;

class VectorFit {
 public:
  // `codebook(…)`, `lattice(…)`.
  static bool fits(const Expression& expression);

  // Throws ErrorKind::kUsage for a form of another kind.
  explicit VectorFit(FormPtr start);
  VectorFit(VectorFit&&) noexcept;
  ~VectorFit();

  Shape shape() const;
  uint64_t dim() const;  // columns that a code stands for, from a multiple of them on
  // Columns of a row that share a scale, a multiple of dim() or all; 0: rows have no scales of
  // their own.
  uint64_t group_length() const;
  float scale(uint64_t row, uint64_t column) const;
  // Sets the scale of the element's group to the nearest that is stored, and returns that.
  float set_scale(uint64_t row, uint64_t column, float scale);

  struct Run {
    uint64_t row, rows, column;
    // What errors e of a run mean: e metric eᵀ, dim() x dim(), symmetric and positive semidefinite.
    std::span<const double> metric;
    const float* wanted;  // rows x dim(); beyond the last column they mean nothing
    // What the codes stand for afterwards, scales and all; and what they stand for now, where only
    // better codes are to be taken.
    float* values;
    bool only_better = false;
  };
  // The best codes for each row, or nearly. Threads may choose for rows of their own.
  void choose(const Run& run);
  // What the codes stand for: dim() elements.
  void values(uint64_t row, uint64_t column, float* out) const;

  // Numbers that codes share, of which all elements are sums: entries of codebooks, gains of
  // pyramids. 0 where there are none.
  uint64_t entries() const;
  std::vector<double> entry_values() const;
  void set_entries(std::span<const double> entries);  // to the nearest that are stored
  // values() with other entries, which need not be ones that can be stored.
  void values_with(std::span<const double> entries, uint64_t row, uint64_t column,
                   float* out) const;
  // The transpose: adds to each entry dim() elements times what of them it makes.
  void add_products(uint64_t row, uint64_t column, const float* elements, double* sums) const;

  FormPtr form() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace pith::form
