// The vectors that forms are multiplied by, in every shape that some kernel wants them.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "pith/form/matrix.h"

namespace pith::form {

class Form;
struct QuantizedVectors;

// A batch of input vectors, one in each row, and what forms have derived from it: made once, then
// shared by all rows of a form and all forms that take the same input.
class Activations {
 public:
  explicit Activations(MatrixView vectors) : vectors_(vectors) {}

  MatrixView vectors() const { return vectors_; }
  uint64_t batch() const { return vectors_.shape.rows; }

  // Makes the input of a form inside `form` from these vectors; once, in the preparing thread.
  Activations& derive(const Form& form, const std::function<Matrix(MatrixView)>& make);
  // What derive() made; it must have been called.
  const Activations& derived(const Form& form) const;

  // The vectors as bytes, for products with small integers; the first call makes them, in the
  // preparing thread.
  void quantize();
  const QuantizedVectors& quantized() const { return *quantized_; }

 private:
  MatrixView vectors_;
  Matrix own_;
  std::shared_ptr<const QuantizedVectors> quantized_;
  std::map<const Form*, std::unique_ptr<Activations>> derived_;
};

}  // namespace pith::form
