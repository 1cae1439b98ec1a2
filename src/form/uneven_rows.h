// Forms of which some rows take longer to multiply than others.
#pragma once

#include <cstdint>

#include "pith/form/activations.h"

namespace pith::form {

class UnevenRows {
 public:
  virtual ~UnevenRows() = default;
  // Where the part-th of so many runs of rows begins, if each is to take as long as any other:
  // rises from 0 to the number of rows, with part from 0 to parts.
  virtual uint64_t part_begin(const Activations& x, uint64_t part, uint64_t parts) const = 0;

 protected:
  UnevenRows() = default;
  UnevenRows(const UnevenRows&) = default;
  UnevenRows& operator=(const UnevenRows&) = default;
};

}  // namespace pith::form
