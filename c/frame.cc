#include "frame.h"

#include <algorithm>
#include <array>

#include "pith/base/hash.h"
#include "pith/base/parallel.h"

namespace pith::frame {
namespace {

constexpr std::array<uint8_t, 4> kMagic = {'P', 'F', 'R', '1'};
constexpr uint64_t kHeader = kMagic.size() + 16;
constexpr uint64_t kBlockOverhead = 4 + 16;  // its size, and what encode() may add

uint64_t block_count(uint64_t raw) { return raw / kBlock + (raw % kBlock != 0); }

struct Parsed {
  uint64_t raw = 0, hash = 0;
  std::vector<ByteView> blocks;
};

Parsed parse(ByteView frame) {
  ByteReader reader(frame, "frame");
  if (!std::ranges::equal(reader.bytes(kMagic.size()), kMagic)) reader.bad("it is not one");
  Parsed out;
  out.raw = reader.u64();
  out.hash = reader.u64();
  const uint64_t count = block_count(out.raw);
  if (count > reader.remaining() / 5) reader.bad("it is cut short");
  out.blocks.reserve(count);
  for (uint64_t b = 0; b < count; ++b) {
    const uint64_t size = reader.u32();
    out.blocks.push_back(reader.bytes(size));
  }
  reader.expect_end();
  return out;
}

template <class Span>
Span block_of(Span whole, uint64_t b) {
  return whole.subspan(b * kBlock, std::min(kBlock, whole.size() - b * kBlock));
}

}  // namespace

uint64_t bound(uint64_t raw) {
  return checked_add(checked_add(raw, kHeader), checked_mul(block_count(raw), kBlockOverhead));
}

Bytes encode(ByteView raw, DType dtype, lossless::Level level, int threads) {
  std::vector<Bytes> blocks(block_count(raw.size()));
  parallel_for(thread_count(threads), blocks.size(), [&](size_t b) {
    lossless::encode(block_of(raw, b), {.dtype = dtype}, level, {}, blocks[b]);
  });
  uint64_t size = kHeader;
  for (const Bytes& block : blocks) size += 4 + block.size();
  Bytes out(size);
  std::ranges::copy(kMagic, out.begin());
  store_le<uint64_t>(out.data() + 4, raw.size());
  store_le<uint64_t>(out.data() + 12, hash64(raw));
  auto at = out.begin() + kHeader;
  for (const Bytes& block : blocks) {
    store_le(&*at, static_cast<uint32_t>(block.size()));
    at = std::ranges::copy(block, at + 4).out;
  }
  return out;
}

uint64_t raw_size(ByteView frame) { return parse(frame).raw; }

void decode(ByteView frame, MutableByteView out, int threads) {
  const Parsed parsed = parse(frame);
  if (out.size() != parsed.raw) {
    fail(ErrorKind::kUsage, "the frame holds {} bytes, not {}", parsed.raw, out.size());
  }
  parallel_for(thread_count(threads), parsed.blocks.size(), [&](size_t b) {
    if (lossless::needs_base(parsed.blocks[b])) {
      fail(ErrorKind::kData, "frame: block {} is a difference, which a frame never holds", b);
    }
    lossless::decode(parsed.blocks[b], {}, block_of(out, b));
  });
  if (hash64(out) != parsed.hash) fail(ErrorKind::kData, "frame: the checksum does not match");
}

}  // namespace pith::frame
