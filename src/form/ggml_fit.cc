#include "pith/form/ggml_fit.h"

#include <algorithm>
#include <cmath>

#include "ggml.h"
#include "ggml_block.h"
#include "kinds.h"
#include "pith/base/error.h"
#include "pith/form/arguments.h"
#include "scales.h"

namespace pith::form {
namespace {

constexpr std::array<float, 256> kEqual = [] {
  std::array<float, 256> ones{};
  ones.fill(1);
  return ones;
}();

// Beyond these f16 scales, or their squares, end.
constexpr float kLargest = 0x1p40f, kSmallest = 0x1p-40f;

void copy_in_range(std::span<const float> w, float* to) {
  std::ranges::transform(w, to, [](float v) {
    return std::fabs(v) < kSmallest ? 0 : std::clamp(v, -kLargest, kLargest);
  });
}

// Null for other expressions.
const GgmlBlockType* find_type(const Expression& expression) {
  if (!expression.is_call() || expression.name() != "ggml") return nullptr;
  const DTypeInfo* t = find_dtype(Arguments(expression, {"type"}).name("type"));
  return t ? ggml_block_type(t->dtype) : nullptr;
}

const GgmlBlockType& type_of(const Expression& expression) {
  if (const GgmlBlockType* found = find_type(expression)) return *found;
  throw expression.place().error(
      ErrorKind::kUsage,
      fmt::format("`{}` is not of q4_0, q4_1, q5_0, q5_1, q8_0, q2_K to q6_K, iq4_nl or iq4_xs",
                  to_string(expression)));
}

}  // namespace

struct GgmlFit::Parts {
  const GgmlBlockType& type;
  Shape shape;
  ggml::Search wide;  // where importances differ, the largest element need not fit
  std::vector<float> levels;
  uint64_t block_bytes;
  Bytes blocks;

  ggml::Search search(bool equal) const { return equal ? type.search : wide; }
};

bool GgmlFit::fits(const Expression& expression) { return find_type(expression) != nullptr; }

GgmlFit::GgmlFit(const Expression& expression, MatrixView matrix) {
  const Shape shape = matrix.shape;
  const GgmlBlockType& t = type_of(expression);
  const auto block = static_cast<uint64_t>(t.block);
  if (shape.cols % block != 0) {
    throw expression.place().error(
        ErrorKind::kUsage,
        fmt::format("rows of {} elements are not whole blocks of {}", shape.cols, block));
  }
  require_finite(matrix, "ggml");
  std::vector<float> levels;
  for (int i = t.first; i <= t.last; ++i) {
    levels.push_back(static_cast<float>(t.iq4 ? kIq4[static_cast<size_t>(i)] : i));
  }
  const uint64_t bytes = info(t.type).block_bytes;
  const ggml::Search wide{t.search.from, 1.4f * t.search.to, 2 * t.search.steps};
  parts_ = std::make_unique<Parts>(
      Parts{t, shape, wide, std::move(levels), bytes, Bytes(shape.size() / block * bytes)});
}

GgmlFit::GgmlFit(GgmlFit&&) noexcept = default;
GgmlFit::~GgmlFit() = default;

Shape GgmlFit::shape() const { return parts_->shape; }
uint64_t GgmlFit::block_length() const { return static_cast<uint64_t>(parts_->type.block); }
uint64_t GgmlFit::group_length() const { return static_cast<uint64_t>(parts_->type.group); }

GgmlFit::Block GgmlFit::block(std::span<const float> w, std::span<const float> importance) const {
  std::array<float, 256> x;
  copy_in_range(w, x.data());
  GgmlBlock b;
  fit_block(parts_->type, x.data(), importance.empty() ? kEqual.data() : importance.data(),
            parts_->search(importance.empty()), b);
  return {b.d, b.dmin, b.scale, b.least};
}

void GgmlFit::refit(Block& block, uint64_t g, std::span<const float> w,
                    std::span<const float> importance) const {
  std::array<float, 32> x;
  copy_in_range(w, x.data());
  GgmlBlock b{block.d, block.dmin, block.scale, block.least, {}};
  refit_group(parts_->type, x.data(), importance.empty() ? kEqual.data() : importance.data(),
              parts_->search(importance.empty()), g, b);
  block = {b.d, b.dmin, b.scale, b.least};
}

float GgmlFit::rounded(float shared) const { return rounded_scale(shared, DType::kF16); }

bool GgmlFit::holds(const Block& block) const {
  const GgmlBlockType& t = parts_->type;
  const auto groups = static_cast<size_t>(t.block / t.group);
  const int least = t.most == 0 ? 1
                    : t.zero    ? 0
                                : -t.most,
            most = t.most == 0 ? 1
                   : t.zero    ? t.most
                               : t.most - 1;
  const auto in_range = [&](int v) { return v >= least && v <= most; };
  return std::all_of(block.scale.begin(), block.scale.begin() + groups, in_range) &&
         (!t.zero || std::all_of(block.least.begin(), block.least.begin() + groups, in_range));
}

UniformScale GgmlFit::scale(const Block& block, uint64_t g) const {
  return {block.d * static_cast<float>(block.scale[g]),
          parts_->type.zero ? -(block.dmin * static_cast<float>(block.least[g])) : 0};
}

uint8_t GgmlFit::code(float w, UniformScale s) const {
  const GgmlBlockType& t = parts_->type;
  const float at = std::isfinite(1 / s.scale) ? (w - s.zero) * (1 / s.scale) : 0;
  if (t.iq4) return ggml::Iq4Levels::code(at);
  const ggml::IntegerLevels levels{static_cast<float>(t.first), static_cast<float>(t.last)};
  return static_cast<uint8_t>(static_cast<int>(levels.nearest(at)) - t.first);
}

float GgmlFit::value(uint8_t code, UniformScale s) const {
  return s.scale * parts_->levels[code] + s.zero;
}

void GgmlFit::put(uint64_t row, uint64_t block, const Block& scales, const uint8_t* codes) {
  const GgmlBlockType& t = parts_->type;
  GgmlBlock b{scales.d, scales.dmin, scales.scale, scales.least, {}};
  std::copy_n(codes, t.block, b.codes.begin());
  const uint64_t blocks = parts_->shape.cols / block_length();
  pack_block(t, b, parts_->blocks.data() + (row * blocks + block) * parts_->block_bytes);
}

FormPtr GgmlFit::form() {
  return std::make_shared<GgmlForm>(parts_->shape, parts_->type.type,
                                    Buffer(std::move(parts_->blocks)));
}

}  // namespace pith::form
