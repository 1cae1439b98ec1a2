#include "pith/lossless/codec.h"

#include <algorithm>
#include <array>

#include "block.h"
#include "choose.h"
#include "pith/lossless/context_mix.h"
#include "stream.h"
#include "zstd_frame.h"

namespace pith::lossless {
namespace {

// Blocks smaller than this gain nothing from looking at them closely.
constexpr uint64_t kSmall = 64;
// A block with its base that is so much smaller than the estimate without it needs no comparison.
constexpr double kSurelySmaller = 0.9;

ElementLayout layout_of(DType dtype, uint64_t row) {
  const DTypeInfo& t = info(element_type(dtype));
  return {static_cast<uint8_t>(t.block_bytes), t.kind == NumberKind::kFloat, t.exponent_bits,
          t.mantissa_bits, row};
}

int zstd_level(Level level) {
  return level == Level::kFast ? 1 : level == Level::kDefault ? 9 : 22;
}

// Length of the pattern that repeats through all of raw: the element's width, or 0.
uint64_t constant_pattern(ByteView raw, uint64_t width) {
  if (raw.size() < 2 * width || raw.size() % width != 0) return 0;
  return std::memcmp(raw.data(), raw.data() + width, raw.size() - width) == 0 ? width : 0;
}

void put_kind(BlockKind kind, Bytes& out) { out.push_back(static_cast<uint8_t>(kind)); }

void encode_choice(ByteView raw, Level level, int depth, const Choice& c, Bytes& out) {
  put_kind(c.kind, out);
  switch (c.kind) {
    case BlockKind::kZstd:
      return encode_zstd(raw, zstd_level(level), out);
    case BlockKind::kPlanes:
      return encode_planes(raw, c.width, c.rotate, level, out);
    case BlockKind::kRecords:
      return encode_records(raw, c.dtype, level, depth + 1, out);
    case BlockKind::kSparse:
      return encode_sparse(raw, c.width, {c.dtype, 0, false}, level, depth + 1, out);
    case BlockKind::kDictionary:
      if (encode_dictionary(raw, c.width, level, out)) return;
      out.back() = static_cast<uint8_t>(BlockKind::kPlanes);
      return encode_planes(raw, c.width, c.rotate, level, out);
    default:
      ByteWriter(out).bytes(raw);
  }
}

void encode_context_mix(ByteView raw, const ElementLayout& layout, ByteView base, Bytes& out) {
  put_kind(BlockKind::kContextMix, out);
  ByteWriter w(out);
  w.u8(layout.width);
  w.u8(static_cast<uint8_t>(layout.is_float | (base.empty() ? 0 : 2)));
  w.u8(layout.exponent_bits);
  w.u8(layout.mantissa_bits);
  w.varint(layout.row);
  w.bytes(context_mix_encode(raw, layout, base));
}

// Replaces what `out` holds from `start` when the other is smaller.
void keep_smaller(const Bytes& other, size_t start, Bytes& out) {
  if (other.size() >= out.size() - start) return;
  out.resize(start);
  ByteWriter(out).bytes(other);
}

void encode_unaligned(ByteView raw, uint64_t head, uint64_t tail, DType dtype, Level level,
                      int depth, Bytes& out) {
  put_kind(BlockKind::kUnaligned, out);
  ByteWriter w(out);
  w.u8(static_cast<uint8_t>(head));
  w.u8(static_cast<uint8_t>(tail));
  w.bytes(raw.first(head));
  w.bytes(raw.last(tail));
  encode_nested(raw.subspan(head, raw.size() - head - tail), {dtype, 0, false}, level, depth + 1,
                out);
}

Bytes encode_with_base(ByteView raw, const Content& content, Level level, ByteView base) {
  Bytes best, steps;
  put_kind(BlockKind::kDelta, best);
  encode_delta(raw, base, content, level, best);
  put_kind(BlockKind::kSteps, steps);
  if (encode_steps(raw, base, content, level, steps)) keep_smaller(steps, 0, best);
  return best;
}

// Everything but raw blocks and big-endian: elements fill the block.
void encode_whole(ByteView raw, const Content& content, Level level, ByteView base, int depth,
                  Bytes& out) {
  const size_t start = out.size();
  if (const uint64_t pattern = constant_pattern(raw, info(content.dtype).block_bytes)) {
    put_kind(BlockKind::kConstant, out);
    return ByteWriter(out).bytes(raw.first(pattern));
  }
  if (!base.empty() && std::memcmp(raw.data(), base.data(), raw.size()) == 0) {
    return put_kind(BlockKind::kSameAsBase, out);
  }
  const Choice choice = choose(raw, content, level, !base.empty());
  // Data of unknown structure may begin and end within an element.
  const bool guessed = content.dtype == DType::kBytes && choice.kind != BlockKind::kZstd;
  const auto head = guessed ? static_cast<uint64_t>(choice.head) : 0;
  const uint64_t tail = guessed ? (raw.size() - head) % static_cast<uint64_t>(choice.width) : 0;
  const Bytes with_base = base.empty() ? Bytes() : encode_with_base(raw, content, level, base);
  const double alone = choice.bits / 8 * static_cast<double>(raw.size());
  if (!base.empty() && static_cast<double>(with_base.size()) < kSurelySmaller * alone) {
    ByteWriter(out).bytes(with_base);
  } else {
    if (head + tail > 0) {
      encode_unaligned(raw, head, tail, choice.dtype, level, depth, out);
    } else {
      encode_choice(raw, level, depth, choice, out);
    }
    if (!base.empty()) keep_smaller(with_base, start, out);
  }
  // Records go through here again with each of their fields.
  if (level == Level::kMax && head + tail == 0 && choice.kind != BlockKind::kRecords &&
      choice.kind != BlockKind::kZstd) {
    Bytes mixed;
    encode_context_mix(
        raw, layout_of(content.dtype == DType::kBytes ? choice.dtype : content.dtype, content.row),
        base, mixed);
    keep_smaller(mixed, start, out);
  }
}

void encode_any(ByteView raw, const Content& content, Level level, ByteView base, int depth,
                Bytes& out) {
  const size_t start = out.size();
  const uint64_t width = info(content.dtype).block_bytes;
  if (raw.size() >= kSmall && raw.size() % width == 0) {
    const int bytes = static_cast<int>(info(element_type(content.dtype)).block_bytes);
    if (content.big_endian && bytes > 1) {
      Bytes swapped(raw.size());
      swap_bytes(raw, bytes, swapped);
      put_kind(BlockKind::kSwapped, out);
      out.push_back(static_cast<uint8_t>(bytes));
      encode_any(swapped, {content.dtype, content.row, false}, level, {}, depth + 1, out);
    } else {
      encode_whole(raw, content, level, base, depth, out);
    }
    if (out.size() - start <= raw.size()) return;
  }
  out.resize(start);
  put_kind(BlockKind::kRaw, out);
  ByteWriter(out).bytes(raw);
}

void decode_constant(ByteReader& in, MutableByteView raw) {
  const ByteView pattern = in.bytes(in.remaining());
  if (pattern.empty() || raw.size() % pattern.size() != 0)
    in.bad("a constant that does not fill the block");
  for (uint64_t i = 0; i < raw.size(); i += pattern.size()) {
    std::memcpy(raw.data() + i, pattern.data(), pattern.size());
  }
}

void decode_unaligned(ByteReader& in, MutableByteView raw, int depth) {
  const uint64_t head = in.u8(), tail = in.u8();
  if (head + tail > raw.size()) in.bad("ends longer than the block");
  std::ranges::copy(in.bytes(head), raw.begin());
  std::ranges::copy(in.bytes(tail), raw.end() - static_cast<int64_t>(tail));
  decode_nested(in.bytes(in.remaining()), {}, raw.subspan(head, raw.size() - head - tail), depth);
}

void decode_context_mix(ByteReader& in, ByteView base, MutableByteView raw) {
  ElementLayout layout{};
  layout.width = in.u8();
  const uint8_t flags = in.u8();
  layout.is_float = flags & 1;
  layout.exponent_bits = in.u8();
  layout.mantissa_bits = in.u8();
  layout.row = in.varint();
  context_mix_decode(in.bytes(in.remaining()), raw, layout, flags & 2 ? base : ByteView{});
}

void decode_any(ByteView block, ByteView base, MutableByteView raw, int depth) {
  ByteReader in(block, "block");
  if (depth > kMaxDepth) in.bad("blocks within blocks too deep");
  if (raw.size() > kMaxBlock)
    fail(ErrorKind::kLimit, "a block of {} bytes; at most {} are allowed", raw.size(), kMaxBlock);
  if (needs_base(block) && base.size() != raw.size()) {
    fail(ErrorKind::kBase, "a block of {} bytes is a difference to a base, which has {} bytes here",
         raw.size(), base.size());
  }
  const auto kind = static_cast<BlockKind>(in.u8());
  if (raw.empty()) {
    if (kind != BlockKind::kRaw) in.bad("an empty block that is coded");
    return in.expect_end();
  }
  switch (kind) {
    case BlockKind::kRaw: {
      const ByteView bytes = in.bytes(raw.size());
      std::memcpy(raw.data(), bytes.data(), bytes.size());
      break;
    }
    case BlockKind::kConstant:
      decode_constant(in, raw);
      break;
    case BlockKind::kZstd:
      decode_zstd(in, raw);
      break;
    case BlockKind::kPlanes:
      decode_planes(in, raw);
      break;
    case BlockKind::kRecords:
      decode_records(in, raw, depth + 1);
      break;
    case BlockKind::kSparse:
      decode_sparse(in, raw, depth + 1);
      break;
    case BlockKind::kDictionary:
      decode_dictionary(in, raw);
      break;
    case BlockKind::kDelta:
      decode_delta(in, base, raw);
      break;
    case BlockKind::kSteps:
      decode_steps(in, base, raw);
      break;
    case BlockKind::kSameAsBase:
      std::memcpy(raw.data(), base.data(), raw.size());
      break;
    case BlockKind::kContextMix:
      decode_context_mix(in, base, raw);
      break;
    case BlockKind::kSwapped: {
      const int width = in.u8();
      if (width != 2 && width != 4 && width != 8)
        in.bad("a width of swapped elements that is not 2, 4 or 8");
      if (raw.size() % static_cast<uint64_t>(width) != 0)
        in.bad("swapped elements do not fill the block");
      Bytes swapped(raw.size());
      decode_any(in.bytes(in.remaining()), {}, swapped, depth + 1);
      swap_bytes(swapped, width, raw);
      break;
    }
    case BlockKind::kUnaligned:
      decode_unaligned(in, raw, depth + 1);
      break;
    default:
      in.bad("an unknown kind of block; a newer Pith may have written it");
  }
  in.expect_end();
}

}  // namespace

DType element_type(DType dtype) {
  switch (dtype) {
    case DType::kC64:
      return DType::kF32;
    case DType::kC128:
      return DType::kF64;
    default: {
      const NumberKind kind = info(dtype).kind;
      const bool opaque = kind == NumberKind::kOpaque || kind == NumberKind::kBlock;
      return opaque || info(dtype).block_elements > 1 ? DType::kU8 : dtype;
    }
  }
}

void swap_bytes(ByteView from, int width, MutableByteView to) {
  const auto w = static_cast<uint64_t>(width);
  for (uint64_t i = 0; i < from.size(); i += w) {
    std::reverse_copy(from.data() + i, from.data() + i + w, to.data() + i);
  }
}

void encode_zstd(ByteView raw, int level, Bytes& out) { append_zstd(raw, level, out); }

void decode_zstd(ByteReader& in, MutableByteView raw) {
  if (!decompress_zstd(in.bytes(in.remaining()), raw)) in.bad("a zstd block is damaged");
}

void encode_nested(ByteView raw, const Content& content, Level level, int depth, Bytes& out) {
  encode_any(raw, content, level, {}, depth, out);
}

void decode_nested(ByteView block, ByteView base, MutableByteView raw, int depth) {
  decode_any(block, base, raw, depth);
}

void append_sized_block(ByteView raw, const Content& content, Level level, int depth, Bytes& out) {
  Bytes block;
  encode_nested(raw, content, level, depth, block);
  ByteWriter w(out);
  w.varint(block.size());
  w.bytes(block);
}

void encode(ByteView raw, const Content& content, Level level, ByteView base, Bytes& out) {
  if (raw.size() > kMaxBlock)
    fail(ErrorKind::kLimit, "a block of {} bytes; at most {} are allowed", raw.size(), kMaxBlock);
  if (!base.empty() && base.size() != raw.size()) {
    fail(ErrorKind::kBase, "the base has {} bytes where the block has {}", base.size(), raw.size());
  }
  encode_any(raw, content, level, base, 0, out);
}

void decode(ByteView block, ByteView base, MutableByteView raw) { decode_any(block, base, raw, 0); }

bool needs_base(ByteView block) {
  if (block.empty()) return false;
  switch (static_cast<BlockKind>(block[0])) {
    case BlockKind::kDelta:
    case BlockKind::kSteps:
    case BlockKind::kSameAsBase:
      return true;
    case BlockKind::kContextMix:
      return block.size() > 2 && (block[2] & 2);
    default:
      return false;
  }
}

std::string explain_nested(ByteView block, int depth) {
  ByteReader in(block, "block");
  if (depth > kMaxDepth) in.bad("blocks within blocks too deep");
  switch (static_cast<BlockKind>(in.u8())) {
    case BlockKind::kRaw:
      return fmt::format("raw {}", in.remaining());
    case BlockKind::kConstant:
      return "constant";
    case BlockKind::kZstd:
      return fmt::format("zstd {}", in.remaining());
    case BlockKind::kPlanes:
      return explain_planes(in);
    case BlockKind::kRecords:
      return explain_records(in, depth + 1);
    case BlockKind::kSparse:
      return explain_sparse(in, depth + 1);
    case BlockKind::kDictionary:
      return fmt::format("dictionary {}", in.remaining());
    case BlockKind::kDelta:
      return fmt::format("delta {}", in.remaining());
    case BlockKind::kSteps:
      return fmt::format("steps {}", in.remaining());
    case BlockKind::kSameAsBase:
      return "same as base";
    case BlockKind::kContextMix:
      return fmt::format("context_mix {}", in.remaining());
    case BlockKind::kSwapped: {
      in.u8();
      return "swapped(" + explain_nested(in.bytes(in.remaining()), depth + 1) + ")";
    }
    case BlockKind::kUnaligned: {
      const uint64_t head = in.u8(), tail = in.u8();
      in.bytes(head + tail);
      return "unaligned(" + explain_nested(in.bytes(in.remaining()), depth + 1) + ")";
    }
    default:
      return "unknown";
  }
}

std::string explain(ByteView block) { return explain_nested(block, 0); }

}  // namespace pith::lossless
