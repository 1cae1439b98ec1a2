// The payload of a FORM frame: a form record, zeros up to a multiple of 64, the form's bytes; and
// how the elements of a form become the bytes of its tensor.
#pragma once

#include <memory>
#include <mutex>

#include "pith/form/form.h"
#include "record.h"

namespace pith::archive {

// The record and what comes before the form stay of one size whatever the errors in it are.
Bytes form_payload(const FormRecord& record, ByteView form);
void replace_record(const FormRecord& record, Bytes& payload);

struct FormPayload {
  FormRecord record;  // info.bytes included
  ByteView form;      // within the payload
};
// Throws kData.
FormPayload read_form_payload(ByteView payload);
// Bytes of the form in a payload of that size; throws kData when there are none.
uint64_t form_bytes(uint64_t payload, uint64_t record);

// Whether forms of this shape can stand for the tensor: some of its first dimensions are the rows,
// the others the columns, or it is matrix_shape().
bool is_matrix_of(form::Shape shape, const io::TensorRegion& tensor);

// A form as the bytes of a tensor.
class FormElements {
 public:
  // Throws kData unless its elements take `raw` bytes.
  FormElements(form::FormPtr form, const FormRecord& record, uint64_t raw);

  uint64_t size() const { return row_bytes_ * form_->shape().rows; }
  // Memory that a read takes besides `out`, about.
  uint64_t scratch() const;
  // Fills `out` with the bytes from `skip` on; decodes the rows they are in. Thread-safe.
  void read(uint64_t skip, MutableByteView out) const;

 private:
  // Rows first <= r < last as floats.
  void decode(uint64_t first, uint64_t last, float* out) const;

  form::FormPtr form_;
  DType dtype_;
  bool big_endian_;
  uint64_t row_bytes_;
  bool at_once_;  // of a form whose rows are not to be had alone
  mutable std::once_flag made_;
  mutable std::vector<float> whole_;
};

}  // namespace pith::archive
