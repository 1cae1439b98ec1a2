#include "stream_out.h"

#include <algorithm>

#include "pith/base/parallel.h"
#include "read_range.h"

namespace pith::archive {
namespace {

// A reference may stand for a very long run, which is taken in parts of this size.
constexpr uint64_t kPart = 4 << 20;
// And a form, which is larger so that rows longer than a part are not decoded for each of many.
constexpr uint64_t kFormPart = 16 << 20;

uint64_t part_of(const Chunk& c) {
  // Coded chunks whole, so that they are decoded once and their raw checksum is checked.
  if (c.kind == ChunkKind::kData) return c.raw;
  return c.kind == ChunkKind::kForm ? kFormPart : kPart;
}

}  // namespace

void decode_in_order(const Archive::Impl& archive, size_t file, int threads, bool keep_going,
                     const std::function<void(DecodedRun&)>& consume) {
  const auto& chunks = archive.stored.at(file).chunks;
  size_t next = 0;
  uint64_t within = 0;
  const auto produce = [&]() -> std::unique_ptr<DecodedRun> {
    if (next == chunks.size()) return nullptr;
    const Chunk& c = chunks[next];
    auto run = std::make_unique<DecodedRun>();
    run->offset = c.offset + within;
    run->size = std::min(part_of(c), c.raw - within);
    within += run->size;
    if (within == c.raw) {
      ++next;
      within = 0;
    }
    return run;
  };
  const auto work = [&](DecodedRun& run) {
    try {
      if (run.size > archive.options.memory_limit) {
        fail(ErrorKind::kLimit, "{}: a chunk of {} bytes is above the memory limit of {}",
             archive.name, run.size, archive.options.memory_limit);
      }
      run.bytes.resize(run.size);
      read_range(archive, file, run.offset, run.bytes, ReadMode::kOnce);
    } catch (const Error& e) {
      if (!keep_going || e.kind() != ErrorKind::kData) throw;
      run.problem = e.what();
    }
  };
  ordered_pipeline<DecodedRun>(thread_count(threads), produce, work, consume);
}

}  // namespace pith::archive
