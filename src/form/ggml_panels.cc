#include "ggml_panels.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ggml_tables.h"
#include "pith/base/half.h"
#include "pith/base/pages.h"
#include "pith/base/parallel.h"

namespace pith::form {
namespace {

// What is found in one block. Element = d * (sub[group] - sub_middle) * level[code], where there
// are sub-scales, minus m * least[group]; or plus m, where there are none.
struct Parts {
  uint8_t* codes;         // of all elements
  uint16_t d = 0, m = 0;  // f16; the type's own for others
  std::array<uint8_t, 16> sub{}, least{};
};

// How a type's blocks become panels.
struct Plan {
  DType type;
  int bits;
  uint64_t group;  // elements that share a scale
  bool zero;
  std::vector<float> levels;
  int sub_bits = 0;  // of sub-scales, or 0
  int sub_middle = 0;
  DType scale = DType::kF16;
  void (*split)(const uint8_t* block, Parts& to) = nullptr;
};

std::vector<float> spaced(int first, int bits) {
  std::vector<float> levels;
  for (int i = 0; i < 1 << bits; ++i) levels.push_back(static_cast<float>(first + i));
  return levels;
}

template <class T>
std::vector<float> table(const T& integers, float unit) {
  std::vector<float> levels;
  for (const int v : integers) levels.push_back(static_cast<float>(v) * unit);
  return levels;
}

void nibbles(const uint8_t* from, uint8_t* codes) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = from[j] & 15;
    codes[j + 16] = from[j] >> 4;
  }
}

void fifth_bits(uint32_t high, uint8_t* codes) {
  for (int j = 0; j < 32; ++j) codes[j] = static_cast<uint8_t>(codes[j] | (high >> j & 1) << 4);
}

void q4_0(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b);
  nibbles(b + 2, to.codes);
}
void q4_1(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b);
  to.m = load_le<uint16_t>(b + 2);
  nibbles(b + 4, to.codes);
}
void q5_0(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b);
  nibbles(b + 6, to.codes);
  fifth_bits(load_le<uint32_t>(b + 2), to.codes);
}
void q5_1(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b);
  to.m = load_le<uint16_t>(b + 2);
  nibbles(b + 8, to.codes);
  fifth_bits(load_le<uint32_t>(b + 4), to.codes);
}
void q8_0(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b);
  for (int j = 0; j < 32; ++j) to.codes[j] = b[2 + j] ^ 0x80;
}
void mxfp4(const uint8_t* b, Parts& to) {
  to.d = b[0];
  nibbles(b + 1, to.codes);
}

// Two bits of each of 32 bytes, four times: elements 0 to 31, 32 to 63, …
void quarters(const uint8_t* from, uint8_t* codes) {
  for (int k = 0; k < 4; ++k) {
    for (int i = 0; i < 32; ++i) codes[32 * k + i] = from[i] >> (2 * k) & 3;
  }
}

void q2_k(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b + 80);
  to.m = load_le<uint16_t>(b + 82);
  for (size_t i = 0; i < 16; ++i) {
    to.sub[i] = b[i] & 15;
    to.least[i] = b[i] >> 4;
  }
  quarters(b + 16, to.codes);
  quarters(b + 48, to.codes + 128);
}
void q3_k(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b + 108);
  const std::array<int, 16> scales = q3_scales(b + 96);
  for (size_t i = 0; i < 16; ++i) to.sub[i] = static_cast<uint8_t>(scales[i] + 32);
  quarters(b + 32, to.codes);
  quarters(b + 64, to.codes + 128);
  for (int part = 0; part < 8; ++part) {
    for (int i = 0; i < 32; ++i) {
      to.codes[32 * part + i] =
          static_cast<uint8_t>(to.codes[32 * part + i] | (b[i] >> part & 1) << 2);
    }
  }
}
void k4_scales(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b);
  to.m = load_le<uint16_t>(b + 2);
  for (int i = 0; i < 8; ++i) {
    const ScaleMin s = k4_scale(b + 4, i);
    to.sub[static_cast<size_t>(i)] = static_cast<uint8_t>(s.scale);
    to.least[static_cast<size_t>(i)] = static_cast<uint8_t>(s.least);
  }
}
void nibbles_of_64(const uint8_t* from, uint8_t* codes) {
  for (int part = 0; part < 4; ++part) {
    for (int i = 0; i < 32; ++i) {
      codes[64 * part + i] = from[32 * part + i] & 15;
      codes[64 * part + 32 + i] = from[32 * part + i] >> 4;
    }
  }
}
void q4_k(const uint8_t* b, Parts& to) {
  k4_scales(b, to);
  nibbles_of_64(b + 16, to.codes);
}
void q5_k(const uint8_t* b, Parts& to) {
  k4_scales(b, to);
  nibbles_of_64(b + 48, to.codes);
  for (int part = 0; part < 8; ++part) {
    for (int i = 0; i < 32; ++i) {
      uint8_t& code = to.codes[32 * part + i];
      code = static_cast<uint8_t>(code | (b[16 + i] >> part & 1) << 4);
    }
  }
}
void q6_k(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b + 208);
  for (size_t i = 0; i < 16; ++i) to.sub[i] = b[192 + i] ^ 0x80;
  for (int half = 0; half < 2; ++half) {
    const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half;
    uint8_t* codes = to.codes + 128 * half;
    quarters(high, codes);
    for (int i = 0; i < 64; ++i) {
      codes[i] = static_cast<uint8_t>(codes[i] << 4 | (low[i] & 15));
      codes[64 + i] = static_cast<uint8_t>(codes[64 + i] << 4 | low[i] >> 4);
    }
  }
}
void iq4_xs(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b);
  const auto high = load_le<uint16_t>(b + 2);
  for (int part = 0; part < 8; ++part) {
    to.sub[static_cast<size_t>(part)] = static_cast<uint8_t>(
        (b[4 + part / 2] >> (part % 2 * 4) & 15) | (high >> (2 * part) & 3) << 4);
    nibbles(b + 8 + part * 16, to.codes + 32 * part);
  }
}
void tq1_0(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b + 52);
  const auto digit = [](uint8_t byte, int n) {
    return static_cast<uint8_t>(ternary_digit(byte, n) + 1);
  };
  for (int n = 0; n < 5; ++n) {
    for (int i = 0; i < 32; ++i) to.codes[32 * n + i] = digit(b[i], n);
    for (int i = 0; i < 16; ++i) to.codes[160 + 16 * n + i] = digit(b[32 + i], n);
  }
  for (int n = 0; n < 4; ++n) {
    for (int i = 0; i < 4; ++i) to.codes[240 + 4 * n + i] = digit(b[48 + i], n);
  }
}
void tq2_0(const uint8_t* b, Parts& to) {
  to.d = load_le<uint16_t>(b + 64);
  quarters(b, to.codes);
  quarters(b + 32, to.codes + 128);
}

const Plan* plan_of(DType type) {
  static const std::array kPlans = {
      Plan{DType::kQ4_0, 4, 32, false, spaced(-8, 4), 0, 0, DType::kF16, q4_0},
      Plan{DType::kQ4_1, 4, 32, true, spaced(0, 4), 0, 0, DType::kF16, q4_1},
      Plan{DType::kQ5_0, 5, 32, false, spaced(-16, 5), 0, 0, DType::kF16, q5_0},
      Plan{DType::kQ5_1, 5, 32, true, spaced(0, 5), 0, 0, DType::kF16, q5_1},
      Plan{DType::kQ8_0, 8, 32, false, spaced(-128, 8), 0, 0, DType::kF16, q8_0},
      Plan{DType::kQ2_K, 2, 16, true, spaced(0, 2), 4, 0, DType::kF16, q2_k},
      Plan{DType::kQ3_K, 3, 16, false, spaced(-4, 3), 6, 32, DType::kF16, q3_k},
      Plan{DType::kQ4_K, 4, 32, true, spaced(0, 4), 6, 0, DType::kF16, q4_k},
      Plan{DType::kQ5_K, 5, 32, true, spaced(0, 5), 6, 0, DType::kF16, q5_k},
      Plan{DType::kQ6_K, 6, 16, false, spaced(-32, 6), 8, 128, DType::kF16, q6_k},
      Plan{DType::kIQ4_NL, 4, 32, false, table(kIq4, 1), 0, 0, DType::kF16, q4_0},
      Plan{DType::kIQ4_XS, 4, 32, false, table(kIq4, 1), 6, 32, DType::kF16, iq4_xs},
      Plan{DType::kMXFP4, 4, 32, false, table(kFp4, 0.5f), 0, 0, DType::kF8E8M0, mxfp4},
      Plan{DType::kTQ1_0, 2, 256, false, spaced(-1, 2), 0, 0, DType::kF16, tq1_0},
      Plan{DType::kTQ2_0, 2, 256, false, spaced(-1, 2), 0, 0, DType::kF16, tq2_0},
  };
  const auto* found = std::ranges::find(kPlans, type, &Plan::type);
  return found == kPlans.end() ? nullptr : found;
}

// One piece of memory for everything that is read together, cut into pieces at whole cache lines.
class Memory {
 public:
  // Room for so many bytes in each piece.
  explicit Memory(std::initializer_list<uint64_t> sizes) {
    uint64_t all = 0;
    for (const uint64_t size : sizes) {
      begins_.push_back(all);
      sizes_.push_back(size);
      all += (size + kChunk - 1) / kChunk * kChunk;
    }
    bytes_ = allocate_pages(all);
  }
  uint8_t* piece(size_t i) const { return bytes_.get() + begins_[i]; }
  Buffer take(size_t i) const { return {ByteView(piece(i), sizes_[i]), bytes_}; }

 private:
  std::shared_ptr<uint8_t[]> bytes_;
  std::vector<uint64_t> begins_, sizes_;
};

}  // namespace

std::shared_ptr<const PanelMatrix> panels_of_ggml(DType type, Shape shape, ByteView blocks) {
  const Plan* plan = plan_of(type);
  if (!plan) return nullptr;
  const uint64_t elements = info(type).block_elements, block_bytes = info(type).block_bytes,
                 across = shape.cols / elements, row_bytes = across * block_bytes;
  const uint64_t subs = plan->sub_bits ? elements / plan->group : 0, groups = across * subs;
  // Sub-scales and sub-minima lie in a byte each, or both in one.
  const bool least = subs > 0 && plan->zero, together = least && plan->sub_bits <= 4;
  const uint64_t width = plan->scale == DType::kF8E8M0 ? 1 : 2;
  const uint64_t panels = panels_of(shape.rows), sub_bytes = panels * kPanelRows * groups;
  enum Piece : uint8_t { kCodes, kSub, kLeast, kScales, kZeros };
  const Memory memory({shape.rows * panel_row_bytes(shape.cols, plan->bits), sub_bytes,
                       least && !together ? sub_bytes : 0, shape.rows * across * width,
                       plan->zero ? shape.rows * across * 2 : 0});
  parallel_for(thread_count(0), panels, [&](size_t panel) {
    const uint64_t first = panel * kPanelRows, rows = std::min(kPanelRows, shape.rows - first);
    std::vector<uint8_t> codes(rows * shape.cols);
    uint8_t* const sub = memory.piece(kSub) + first * groups;
    uint8_t* const low = memory.piece(kLeast) + first * groups;
    for (uint64_t r = 0; r < rows; ++r) {
      for (uint64_t b = 0; b < across; ++b) {
        Parts parts;
        parts.codes = codes.data() + r * shape.cols + b * elements;
        plan->split(blocks.data() + (first + r) * row_bytes + b * block_bytes, parts);
        const uint64_t at = first * across + b * rows + r;
        std::memcpy(memory.piece(kScales) + at * width, &parts.d, width);
        // Minima are taken away, where they have sub-scales.
        if (plan->zero) {
          store_le(memory.piece(kZeros) + at * 2,
                   static_cast<uint16_t>(least ? parts.m ^ 0x8000 : parts.m));
        }
        for (uint64_t g = 0; g < subs; ++g) {
          const uint64_t to = (b * subs + g) * kPanelRows + r;
          sub[to] = parts.sub[g];
          if (together) {
            sub[to] = static_cast<uint8_t>(sub[to] | parts.least[g] << 4);
          } else if (least) {
            low[to] = parts.least[g];
          }
        }
      }
    }
    pack_panel(codes.data(), shape.cols, rows, shape.cols, plan->bits,
               memory.piece(kCodes) + first * panel_row_bytes(shape.cols, plan->bits));
  });
  const Shape blocks_shape{shape.rows, across}, groups_shape{shape.rows, groups};
  GroupFloats d(blocks_shape, plan->scale, memory.take(kScales)), m;
  if (plan->zero) m = GroupFloats(blocks_shape, DType::kF16, memory.take(kZeros));
  if (subs > 0) {
    GroupFloats::NestedBytes sub{memory.take(kSub), 0xFF, plan->sub_middle, 1, subs}, low = sub;
    if (together) {
      sub.mask = 0x0F;
      low.mask = 0xF0;
      low.unit = 0x1p-4f;
    } else {
      low.values = memory.take(kLeast);
    }
    d = GroupFloats(groups_shape, std::move(sub), std::move(d));
    low.middle = 0;
    if (least) m = GroupFloats(groups_shape, std::move(low), std::move(m));
  }
  return std::make_shared<PanelMatrix>(shape, plan->bits, plan->levels, plan->group,
                                       PanelCodes{shape, plan->bits, memory.take(kCodes)},
                                       std::move(d), std::move(m));
}

}  // namespace pith::form
