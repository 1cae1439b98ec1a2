#include "pith/weights/compress_model.h"

// PITH_CALIBRATION_TEXT: the path of data/text/calibration.txt.
asm(".section .rodata\n"
    ".global pith_calibration_begin\n"
    ".hidden pith_calibration_begin\n"
    ".global pith_calibration_end\n"
    ".hidden pith_calibration_end\n"
    "pith_calibration_begin:\n"
    ".incbin \"" PITH_CALIBRATION_TEXT
    "\"\n"
    "pith_calibration_end:\n"
    ".previous\n");

extern "C" const char pith_calibration_begin[], pith_calibration_end[];

namespace pith::weights {

std::string_view default_calibration_text() {
  return {pith_calibration_begin,
          static_cast<size_t>(pith_calibration_end - pith_calibration_begin)};
}

}  // namespace pith::weights
