#include "ggml_block.h"

#include <algorithm>
#include <tuple>

#include "ggml_tables.h"
#include "scales.h"

namespace pith::form {
namespace {

using ggml::IntegerLevels;
using ggml::Iq4Levels;

constexpr ggml::Search kIq4Search{95, 160, 16};

constexpr GgmlBlockType kTypes[] = {
    {DType::kQ4_0, 32, 32, false, false, -8, 7, 0, {6.4f, 11.2f, 16}},
    {DType::kQ5_0, 32, 32, false, false, -16, 15, 0, {12.8f, 22.4f, 16}},
    {DType::kQ8_0, 32, 32, false, false, -127, 127, 0, {126, 128, 5}},
    {DType::kQ4_1, 32, 32, true, false, 0, 15, 0, {13.5f, 19.5f, 10}},
    {DType::kQ5_1, 32, 32, true, false, 0, 31, 0, {27.9f, 40.3f, 10}},
    {DType::kIQ4_NL, 32, 32, false, true, 0, 15, 0, kIq4Search},
    {DType::kQ2_K, 256, 16, true, false, 0, 3, 15, {2.4f, 4.2f, 10}},
    {DType::kQ3_K, 256, 16, false, false, -4, 3, 32, {3, 6, 10}},
    {DType::kQ4_K, 256, 32, true, false, 0, 15, 63, {13, 20, 8}},
    {DType::kQ5_K, 256, 32, true, false, 0, 31, 63, {29, 38, 8}},
    {DType::kQ6_K, 256, 16, false, false, -32, 31, 128, {30, 36, 10}},
    {DType::kIQ4_XS, 256, 32, false, true, 0, 15, 32, kIq4Search},
};

float f16(float v) { return rounded_scale(v, DType::kF16); }

IntegerLevels integers(const GgmlBlockType& t) {
  return {static_cast<float>(t.first), static_cast<float>(t.last)};
}

template <class Groups>
void take(const Groups& groups, GgmlBlock& to) {
  to.d = groups.d;
  to.scale = groups.scale;
  if constexpr (requires { groups.least; }) {
    to.dmin = groups.dmin;
    to.least = groups.least;
  }
}

void fit_one_group(const GgmlBlockType& t, const float* x, const float* h, ggml::Search search,
                   GgmlBlock& b) {
  b.scale[0] = b.least[0] = 1;
  if (t.zero) {
    const ggml::Line line = ggml::fit_line<32>(x, h, static_cast<float>(t.last), search, false);
    b.d = f16(line.scale);
    b.dmin = -f16(line.zero);
  } else if (t.iq4) {
    b.d = f16(ggml::fit_scale<32>(x, h, Iq4Levels(), search, true));
  } else {
    // A negative scale gains something where the levels reach further down than up.
    b.d = f16(ggml::fit_scale<32>(x, h, integers(t), search, -t.first != t.last));
  }
}

}  // namespace

const GgmlBlockType* ggml_block_type(DType type) {
  const auto* found = std::ranges::find(kTypes, type, &GgmlBlockType::type);
  return found == std::end(kTypes) ? nullptr : found;
}

void fit_block(const GgmlBlockType& t, const float* x, const float* h, ggml::Search search,
               GgmlBlock& b) {
  const auto last = static_cast<float>(t.last);
  if (t.most == 0) {
    fit_one_group(t, x, h, search, b);
  } else if (t.zero && t.group == 16) {
    take(ggml::fit_lines<16, 16>(x, h, last, search, t.most), b);
  } else if (t.zero) {
    take(ggml::fit_lines<32, 8>(x, h, last, search, t.most), b);
  } else if (t.iq4) {
    take(ggml::fit_scaled<32, 8>(x, h, Iq4Levels(), search, t.most), b);
  } else {
    take(ggml::fit_scaled<16, 16>(x, h, integers(t), search, t.most), b);
  }
}

void refit_group(const GgmlBlockType& t, const float* x, const float* h, ggml::Search search,
                 size_t g, GgmlBlock& b) {
  const auto last = static_cast<float>(t.last);
  if (t.most == 0) {
    fit_one_group(t, x, h, search, b);
  } else if (t.zero && t.group == 16) {
    std::tie(b.scale[g], b.least[g]) =
        ggml::refit_line<16>(x, h, last, search, t.most, b.d, b.dmin);
  } else if (t.zero) {
    std::tie(b.scale[g], b.least[g]) =
        ggml::refit_line<32>(x, h, last, search, t.most, b.d, b.dmin);
  } else if (t.iq4) {
    b.scale[g] = ggml::refit_scaled<32>(x, h, Iq4Levels(), search, t.most, b.d);
  } else {
    b.scale[g] = ggml::refit_scaled<16>(x, h, integers(t), search, t.most, b.d);
  }
}

}  // namespace pith::form
