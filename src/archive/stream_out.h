// A whole file decoded in order: what extraction and verification share.
#pragma once

#include <functional>
#include <string>

#include "impl.h"
#include "pith/base/progress.h"

namespace pith::archive {

// A run of the file, decoded, or why it could not be.
struct DecodedRun {
  uint64_t offset = 0;
  uint64_t size = 0;
  Bytes bytes;
  std::string problem;  // empty: the bytes are there
};

// Decodes in parallel, hands the runs over in order. Errors of kind kData become the run's problem
// if `keep_going`, and are thrown else; all others are thrown.
void decode_in_order(const Archive::Impl& archive, size_t file, int threads, bool keep_going,
                     const std::function<void(DecodedRun&)>& consume);

}  // namespace pith::archive
