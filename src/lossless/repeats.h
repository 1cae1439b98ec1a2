// A quick look for repeats that a dictionary coder (LZ) would find, so that it need not be tried.
#pragma once

#include "pith/base/bytes.h"

namespace pith::lossless {

// False when hardly any few bytes of the sample come a second time, more than chance would have it
// for bytes of this order-0 entropy (bits a byte). Samples of up to 64 KiB.
bool may_repeat(ByteView sample, double entropy);

}  // namespace pith::lossless
