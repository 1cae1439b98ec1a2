// GGML's blocks rearranged as panels of codes, to run.
#pragma once

#include <memory>

#include "panel_matrix.h"
#include "pith/base/dtype.h"

namespace pith::form {

// The same numbers in at most a sixteenth more memory (types with digits of three: a quarter); all
// threads work. blocks: rows of whole blocks.
std::shared_ptr<const PanelMatrix> panels_of_ggml(DType type, Shape shape, ByteView blocks);

}  // namespace pith::form
