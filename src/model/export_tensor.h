// A tensor on its way into a GGUF file.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pith/form/ggml_tensor.h"
#include "pith/io/gguf_write.h"

namespace pith::model {

struct ExportTensor {
  std::string name;             // in the GGUF file
  std::string shown;            // for messages: the name in the source
  std::vector<uint64_t> shape;  // outermost dimension first
  DType type = DType::kF32;
  // One after the other along the outermost dimension. Kept: exact, of the type above.
  struct Part {
    form::FormPtr form;
    std::optional<form::GgmlTensor> kept;
    uint32_t head_size = 0;  // rows go from the order of halves to that of pairs; 0: they stay
  };
  std::vector<Part> parts;
};

// A type for the rows of a matrix: `wanted`, or where they are not whole blocks of it one of
// smaller blocks that has no fewer bits.
DType type_for_rows(DType wanted, uint64_t cols);

// Writes the data of a tensor, encoded on so many threads where it is not kept. `done` is called
// with every piece of bytes written.
void write_tensor(const ExportTensor& tensor, int threads,
                  const std::function<void(ByteView)>& write);

}  // namespace pith::model
