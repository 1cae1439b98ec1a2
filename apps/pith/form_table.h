// What tensors in compressed forms are, take and lost, as tables and JSON.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "output.h"
#include "pith/io/layout.h"

namespace pith::command {

// A line for each form that occurs, one for what is lossless, one for all: how many tensors and
// weights, bits a weight, size, and the relative squared error (of a form's tensors together).
class FormTable {
 public:
  // `stored`: what the tensor takes in the archive, 0 when it refers to an equal one. `form`: null
  // when it is lossless.
  void add(const io::TensorRegion& tensor, uint64_t stored, const archive::FormInfo* form);
  bool any_form() const { return lines_.size() > (lines_.contains("") ? 1 : 0); }
  std::string text() const;
  Json json() const;

 private:
  struct Line {
    uint64_t tensors = 0, weights = 0, stored = 0, raw = 0;
    double error = 0, worst = 0, max_error = 0;  // `error`: times weights
  };
  std::map<std::string, Line> lines_;  // by expression; lossless: ""
};

uint64_t element_count(const io::TensorRegion& tensor);
// Bits for each element; 0 where there are none.
double bits_each(uint64_t bytes, uint64_t elements);
std::string bits_text(uint64_t bytes, uint64_t elements);  // "4.250"
// "3.1e-03".
std::string error_text(double error);
// Null for no form.
Json form_json(const archive::FormInfo* form, uint64_t elements);

}  // namespace pith::command
