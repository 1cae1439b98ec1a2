#include "chunk.h"

#include <algorithm>

namespace pith::archive {
namespace {

struct Coded {
  std::vector<CodedRun> runs;
  Bytes blocks;
};

Coded code(ByteView raw, std::span<const RunPlan> runs, lossless::Level level, ByteView base) {
  Coded out;
  uint64_t at = 0;
  for (const RunPlan& run : runs) {
    const ByteView part = run.based ? base.subspan(at, run.size) : ByteView();
    const size_t before = out.blocks.size();
    lossless::encode(raw.subspan(at, run.size), run.content, level, part, out.blocks);
    out.runs.push_back({run.size, out.blocks.size() - before});
    at += run.size;
  }
  return out;
}

// The first tensor that ends behind `offset`.
auto first_touching(std::span<const BasedTensor> tensors, uint64_t offset) {
  return std::ranges::upper_bound(tensors, offset, {},
                                  [](const BasedTensor& t) { return t.offset + t.size; });
}

}  // namespace

std::vector<Block> read_blocks(ByteView payload, uint64_t chunk_raw) {
  ByteReader r(payload, "chunk");
  std::vector<Block> blocks(r.count(2));
  std::vector<uint64_t> coded;
  coded.reserve(blocks.size());
  uint64_t at = 0;
  for (Block& b : blocks) {
    b.offset = at;
    b.raw = r.varint();
    coded.push_back(r.varint());
    at = checked_add(at, b.raw);
    if (b.raw == 0 || b.raw > lossless::kMaxBlock) r.bad("a block of impossible size");
  }
  if (at != chunk_raw) r.bad("blocks that do not add up to their chunk");
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i].coded = r.bytes(coded[i]);
  r.expect_end();
  return blocks;
}

bool touches_base(std::span<const BasedTensor> tensors, uint64_t offset, uint64_t size) {
  const auto t = first_touching(tensors, offset);
  return t != tensors.end() && t->offset < offset + size;
}

Bytes base_image(std::span<const BasedTensor> tensors, uint64_t offset, uint64_t size,
                 const Base& base) {
  if (!touches_base(tensors, offset, size)) return {};
  Bytes image(size);
  for (auto t = first_touching(tensors, offset); t != tensors.end() && t->offset < offset + size;
       ++t) {
    const uint64_t first = std::max(offset, t->offset);
    const uint64_t last = std::min(offset + size, t->offset + t->size);
    base.read(t->place.file, t->place.offset + (first - t->offset),
              MutableByteView(image).subspan(first - offset, last - first));
  }
  return image;
}

std::vector<CodedRun> write_chunk(ByteView raw, std::span<const RunPlan> runs,
                                  lossless::Level level, ByteView base, Bytes& payload) {
  Coded coded = code(raw, runs, level, base);
  if (runs.size() > 1 && coded.blocks.size() + 4 * runs.size() > raw.size() + 20) {
    // Many little blocks of noise: their own overhead would add up.
    const RunPlan whole{raw.size(), {}, !base.empty()};
    coded = code(raw, {&whole, 1}, level, base);
  }
  ByteWriter w(payload);
  w.varint(coded.runs.size());
  for (const CodedRun& run : coded.runs) {
    w.varint(run.raw);
    w.varint(run.coded);
  }
  w.bytes(coded.blocks);
  return std::move(coded.runs);
}

}  // namespace pith::archive
