// The algebra of compressed forms: every form is an immutable expression that stands for a matrix,
// and computes with it as it is.
//
//   const FormPtr w = encode(parse("uniform(4, group=64) + sparse(1%)"), weights.view());
//   apply(*w, x, y);                 // y = x Wᵀ, without W being decoded
//   const Bytes stored = write(*w);  // bits(*w) of them
//   read(stored, nullptr)->decode(0, rows, out);
//
// Laws that hold for every form, and that the tests check on random expressions:
//   apply(f, x) is decode(f) x up to the rounding of sums, and of activations where a kernel
//     quantizes them, and so is add_rows(f, w) what decode(f)ᵀ w is;
//   8 * write(f).size() == bits(f);
//   read(write(f)) decodes to the same floats and has the same expression;
//   parse(to_string(f.expression())) == f.expression();
//   a damaged byte string is refused with ErrorKind::kData or gives some form, in bounded memory.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "pith/base/buffer.h"
#include "pith/form/activations.h"
#include "pith/form/expression.h"
#include "pith/form/matrix.h"

namespace pith::form {

class BodyReader;
class BodyWriter;

// Vectors of weights of a form's rows, and where the sums are added that they make of these.
struct RowSums {
  const float* weights = nullptr;  // [vector][row]
  uint64_t weight_stride = 0, batch = 0;
  float* out = nullptr;  // [vector][column]
  uint64_t stride = 0;

  // The same of the rows, or the columns, from one on.
  RowSums from_row(uint64_t row) const {
    return {weights + row, weight_stride, batch, out, stride};
  }
  RowSums from_column(uint64_t column) const {
    return {weights, weight_stride, batch, out + column, stride};
  }
};

// What a form computes without making rows of floats that would be better made once for many
// vectors.
struct Direct {
  bool multiply = false, add_rows = false;
};

// Asks memory for these bytes, and does not wait for them: into the second cache, for which more
// can be under way than for the first.
inline void fetch_bytes(ByteView bytes) {
  constexpr size_t kLine = 64;
  for (size_t i = 0; i < bytes.size(); i += kLine) __builtin_prefetch(bytes.data() + i, 0, 2);
}
// The members of an object.
template <class T>
void fetch_object(const T& object) {
  fetch_bytes({reinterpret_cast<const uint8_t*>(&object), sizeof(T)});
}

class Form {
 public:
  explicit Form(Shape shape) : shape_(shape) {}
  virtual ~Form() = default;
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;

  Shape shape() const { return shape_; }

  // What the form is, without its numbers.
  virtual Expression expression() const = 0;

  // Rows first <= r < last as floats, one after the other.
  virtual void decode(uint64_t first, uint64_t last, float* out) const = 0;

  // Derives from the input what multiply() will need. Called once for a batch, before multiply().
  virtual void prepare(Activations& x) const;

  // out[b * stride + r] = dot(row first + r, vector b) for all b of the batch and all rows first <=
  // first + r < last. Many threads call this at a time, with row ranges of their own.
  virtual void multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                        uint64_t stride) const;

  // The transposed product: out[b * stride + c] += the sum over all rows of weight (b, row) times
  // element (row, c), for all b of the batch. Sums of one vector do not depend on the others. Many
  // threads call this at a time.
  virtual void add_rows(const RowSums& sums) const;

  // Of few vectors and a small matrix, of which there are many: a tile of a cache.
  virtual Direct direct() const { return {}; }

  // Asks memory for what the next product will read, and does not wait for it: first for what
  // says where the numbers lie, later for these.
  virtual void fetch_parts() const {}
  virtual void fetch() const {}

  // The name under which the form is registered, and its parameters and numbers.
  virtual std::string_view kind() const = 0;
  virtual void write_body(BodyWriter& to) const = 0;

 private:
  Shape shape_;
};

using FormPtr = std::shared_ptr<const Form>;

// Gives the finished form of another tensor, for ref(name); null when there is none of this name.
// Called in the thread that reads or encodes.
using Resolver = std::function<FormPtr(std::string_view name)>;

// Vectors that are multiplied at a time: what forms derive from their input is never larger,
// however long the batch (FlashSVD, Shao et al. 2025).
inline constexpr uint64_t kMostBatch = 64;

// y = x Wᵀ: x holds one input vector a row, y gets one output vector a row.
void apply(const Form& form, MatrixView x, Matrix& y, int threads = 1);
// The same for several forms that take the same vectors: what is derived from these is made once,
// and the rows of all forms are shared out among the threads. ys keep their memory where it
// suffices.
void apply(std::span<const Form* const> forms, MatrixView x, std::span<Matrix* const> ys,
           int threads = 1);
Matrix decode(const Form& form);

// The bytes that stand for a form; 8 * their number.
Bytes write(const Form& form);
uint64_t bits(const Form& form);
// The reverse; arrays stay where they are, and `owner` is kept with them (null: the caller keeps
// `bytes` alive as long as the form).
FormPtr read(ByteView bytes, std::shared_ptr<const void> owner, const Resolver& resolver = {});

// The form that the expression names, with the numbers nearest to the matrix in squared error as
// far as each part finds them by itself: later terms of a sum get what earlier ones left. Throws
// ErrorKind::kUsage for an expression that names no form or parameters it does not have, kData with
// the place of the first NaN or infinity where a form cannot hold it.
FormPtr encode(const Expression& expression, MatrixView matrix);
// The same among other tensors, to which ref(name) may refer.
FormPtr encode(const Expression& expression, MatrixView matrix, const Resolver& resolver);

}  // namespace pith::form
