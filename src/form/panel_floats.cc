#include "panel_floats.h"

#include <vector>

#include "pith/base/bytes.h"
#include "pith/base/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "src/form/panel_floats.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "panel_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace pith::form::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

void group_floats(const KernelScales& p, uint64_t n, float* out) {
  for (uint64_t g = 0, left = p.begin, k = 0; g < n; ++g, --left) {
    if (left == 0) {
      left = p.each;
      ++k;
    }
    for (uint64_t r = 0; r < kPanelRows; ++r) {
      const int32_t byte = p.bytes[g * kPanelRows + r] & p.mask;
      out[g * kPanelRows + r] = static_cast<float>(byte - p.middle) * p.floats[k * kPanelRows + r];
    }
  }
}

void run_columns(const PanelColumns& p, float* out) {
  std::vector<uint8_t> chunks(panel_blocks(p.panel.cols) * kChunks * kChunk);
  unpack_panel(p.panel, chunks.data());
  const uint64_t first = p.first_block * kBlockCols;
  for (uint64_t c = first; c < p.last_block * kBlockCols; ++c) {
    const uint64_t at = (c / p.group - first / p.group) * kPanelRows;
    for (uint64_t r = 0; r < kPanelRows; ++r) {
      const float v = static_cast<float>(chunks[chunk_index(r, c)] - p.middle) * p.scales[at + r];
      out[(c - first) * kPanelRows + r] = p.zeros ? v + p.zeros[at + r] : v;
    }
  }
}

void f16_floats(const uint8_t* halves, uint64_t n, float* out) {
  for (uint64_t i = 0; i < n; ++i) out[i] = float_from_f16(load_le<uint16_t>(halves + 2 * i));
}

#else

template <int kBits>
void columns(const PanelColumns& p, float* out) {
  const DI di;
  const DF df;
  const size_t width = hn::Lanes(D8());
  constexpr uint64_t kBlockBytes = kChunk * static_cast<uint64_t>(kBits);
  const VI least = hn::Set(di, p.middle), mask = hn::Set(di, 0xFF);
  for (size_t part = 0; part < kChunk; part += width) {
    const size_t lane = part / 4;
    const uint8_t* codes = p.panel.codes + p.first_block * kBlockBytes + part;
    // Columns that are left of the group.
    uint64_t left = p.group - p.first_block * kBlockCols % p.group, at = lane;
    VF scale = hn::LoadU(df, p.scales + at);
    VF zero = p.zeros ? hn::LoadU(df, p.zeros + at) : hn::Zero(df);
    float* to = out + lane;
    const auto put = [&](V8 chunk) HWY_ATTR {
      if (left == 0) {
        left = p.group;
        at += kPanelRows;
        scale = hn::LoadU(df, p.scales + at);
        if (p.zeros) zero = hn::LoadU(df, p.zeros + at);
      }
      left -= 4;
      const VI four = hn::BitCast(di, chunk);
      const auto column = [&](VI code) HWY_ATTR {
        const VF v = hn::Mul(hn::ConvertTo(df, hn::Sub(hn::And(code, mask), least)), scale);
        // Without a zero nothing is added: that would make +0 of -0.
        hn::StoreU(p.zeros ? hn::Add(v, zero) : v, df, to);
        to += kPanelRows;
      };
      column(four);
      column(hn::ShiftRight<8>(four));
      column(hn::ShiftRight<16>(four));
      column(hn::ShiftRight<24>(four));
    };
    for (uint64_t b = p.first_block; b < p.last_block; ++b, codes += kBlockBytes) {
      const Block block = unpack_block<kBits>(codes);
      put(block.c0);
      put(block.c1);
      put(block.c2);
      put(block.c3);
      put(block.c4);
      put(block.c5);
      put(block.c6);
      put(block.c7);
    }
  }
}

void run_columns(const PanelColumns& p, float* out) {
  with_constant_bits(p.panel.bits, [&](auto bits) { columns<bits()>(p, out); });
}

void f16_floats(const uint8_t* halves, uint64_t n, float* out) {
  const DF df;
  const hn::Rebind<hwy::float16_t, DF> dh;
  const size_t lanes = hn::Lanes(df);
  uint64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto v = hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(halves + 2 * i));
    hn::StoreU(hn::PromoteTo(df, v), df, out + i);
  }
  for (; i < n; ++i) out[i] = float_from_f16(load_le<uint16_t>(halves + 2 * i));
}

void group_floats(const KernelScales& p, uint64_t n, float* out) {
  const DF df;
  for (size_t lane = 0; lane < kPanelRows; lane += hn::Lanes(df)) {
    Groups<true> groups(p, lane);
    for (uint64_t g = 0; g < n; ++g) hn::StoreU(groups.next(), df, out + g * kPanelRows + lane);
  }
}

#endif

}  // namespace pith::form::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace pith::form {

HWY_EXPORT(run_columns);
HWY_EXPORT(f16_floats);
HWY_EXPORT(group_floats);

void decode_columns(const PanelColumns& columns, float* out) {
  HWY_DYNAMIC_DISPATCH(run_columns)(columns, out);
}

void floats_of_f16(const uint8_t* halves, uint64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(f16_floats)(halves, n, out);
}

void floats_of_groups(const KernelScales& from, uint64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(group_floats)(from, n, out);
}

}  // namespace pith::form
#endif
