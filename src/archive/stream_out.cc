#include "stream_out.h"

#include <algorithm>

#include "pith/base/parallel.h"
#include "read_range.h"

namespace pith::archive {
namespace {

// A reference may stand for a very long run, which is taken in parts of this size.
constexpr uint64_t kPart = 4 << 20;

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
    // Coded chunks whole, so that they are decoded once and their raw checksum is checked.
    run->size = c.kind == ChunkKind::kData ? c.raw : std::min(kPart, c.raw - within);
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
