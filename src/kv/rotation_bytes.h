// Frequencies of a rotation that has its own, as profiles and streams hold them.
#pragma once

#include <vector>

#include "pith/base/bytes.h"

namespace pith::kv {

void write_frequencies(const std::vector<float>& frequencies, ByteWriter& to);
// Throws ErrorKind::kData for none of them, more than such heads have pairs, and numbers that are
// no frequencies.
std::vector<float> read_frequencies(ByteReader& from, uint64_t head_size);

}  // namespace pith::kv
