#include "pith/model/rotated_weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "pith/base/bytes.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/tensor.h"
#include "pith/io/text.h"
#include "pith/math/matrix_product.h"

namespace pith::model {

using form::FormPtr;
using form::Matrix;
using form::MatrixView;
using form::Shape;

namespace {

constexpr std::string_view kEmbedding = "model.embed_tokens.weight", kHead = "lm_head.weight",
                           kNorm = "model.norm.weight";
constexpr double kOrthogonal = 1e-3;

math::StridedMatrix strided(MatrixView m) {
  return math::row_major(m.data, m.shape.rows, m.shape.cols);
}

// The columns first to first + count.
math::StridedMatrix columns(const Matrix& m, uint64_t first, uint64_t count) {
  return {m.values.data() + first, m.shape.rows, count, m.shape.cols, 1};
}

bool ends_with_any(std::string_view name, std::initializer_list<std::string_view> ends) {
  return std::ranges::any_of(ends, [&](std::string_view end) { return name.ends_with(end); });
}

void require_scales(const std::vector<std::vector<float>>& all, const DecoderConfig& config) {
  if (all.size() != uint64_t{config.layers} * 2) {
    fail(ErrorKind::kUsage, "scales of {} norms for {} layers of two", all.size(), config.layers);
  }
  for (const std::vector<float>& scales : all) {
    if (scales.size() != config.width) {
      fail(ErrorKind::kUsage, "{} scales of {} channels", scales.size(), config.width);
    }
    for (const float s : scales) {
      if (std::isnormal(s) && s > 0) continue;
      fail(ErrorKind::kUsage, "a channel cannot be scaled by {}", s);
    }
  }
}

void require_rotation(const Matrix& m, uint64_t size, std::string_view what) {
  if (m.shape != Shape{size, size}) {
    fail(ErrorKind::kUsage, "a rotation of {} is {} x {}, not {} x {}", what, m.shape.rows,
         m.shape.cols, size, size);
  }
  Matrix gram({size, size});
  math::matrix_product(strided(m.view()).transposed(), strided(m.view()), gram.values.data(), size);
  for (uint64_t i = 0; i < gram.values.size(); ++i) {
    const double wanted = i / size == i % size ? 1 : 0;
    if (!(std::abs(gram.values[i] - wanted) < kOrthogonal)) {
      fail(ErrorKind::kUsage, "a rotation of {} is not orthogonal", what);
    }
  }
}

void scale_columns(Matrix& m, std::span<const float> scales) {
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (uint64_t c = 0; c < m.shape.cols; ++c) m.row(r)[c] *= scales[c];
  }
}

FormPtr dense(const Matrix& m) {
  Bytes bytes(m.values.size() * sizeof(float));
  std::memcpy(bytes.data(), m.values.data(), bytes.size());
  return form::from_tensor(DType::kF32, m.shape, Buffer(std::move(bytes)));
}

}  // namespace

// What a tensor is to the rotations.
struct RotatedWeights::Part {
  enum class Role : uint8_t {
    kOther,
    kEmbedding,
    kHead,
    kNorm,        // of the stream
    kReader,      // behind a norm
    kValues,      // a reader
    kValuesBias,  // of v_proj
    kAttended,    // o_proj, a writer
    kWriter,
    kWriterBias,
  };
  Role role = Role::kOther;
  uint32_t layer = 0;
  std::string norm = {};                       // that a reader stands behind
  const std::vector<float>* scales = nullptr;  // of that norm, or of this; null: none
};

RotatedWeights::Part RotatedWeights::part_of(std::string_view name) const {
  using Role = Part::Role;
  if (name == kEmbedding) return {Role::kEmbedding};
  if (name == kHead) return {Role::kHead, 0, std::string(kNorm)};
  if (name == kNorm) return {Role::kNorm};
  constexpr std::string_view kLayers = "model.layers.";
  if (!name.starts_with(kLayers)) return {};
  const std::string_view rest = name.substr(kLayers.size());
  uint32_t layer = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  if (error != std::errc() || layer >= config_.layers) return {};
  const std::string_view tail = rest.substr(static_cast<size_t>(end - rest.data()));
  if (!tail.starts_with('.')) return {};
  const std::string at = fmt::format("{}{}.", kLayers, layer);
  const std::string norm = at + "input_layernorm.weight";
  const std::string second = at + "post_attention_layernorm.weight";
  const auto scales = [&](size_t which) {
    return rotation_.scales.empty() ? nullptr : &rotation_.scales[layer * 2 + which];
  };
  if (name == norm) return {Role::kNorm, layer, {}, scales(0)};
  if (name == second) return {Role::kNorm, layer, {}, scales(1)};
  if (tail.starts_with(".self_attn.")) {
    if (ends_with_any(tail, {".q_proj.weight", ".k_proj.weight"})) {
      return {Role::kReader, layer, norm, scales(0)};
    }
    if (tail.ends_with(".v_proj.weight")) return {Role::kValues, layer, norm, scales(0)};
    if (tail.ends_with(".v_proj.bias")) return {Role::kValuesBias, layer};
    if (tail.ends_with(".o_proj.weight")) return {Role::kAttended, layer};
    if (tail.ends_with(".o_proj.bias")) return {Role::kWriterBias, layer};
    return {};
  }
  if (!tail.starts_with(".mlp.") && !tail.starts_with(".block_sparse_moe.")) return {};
  if (ends_with_any(tail, {".gate_proj.weight", ".up_proj.weight", ".w1.weight", ".w3.weight",
                           ".gate.weight", ".shared_expert_gate.weight"})) {
    return {Role::kReader, layer, second, scales(1)};
  }
  if (ends_with_any(tail, {".down_proj.weight", ".w2.weight"})) return {Role::kWriter, layer};
  if (tail.ends_with(".down_proj.bias")) return {Role::kWriterBias, layer};
  return {};
}

RotatedWeights::RotatedWeights(const WeightSource& source, Rotation rotation, int threads)
    : source_(source),
      rotation_(std::move(rotation)),
      config_(source.config()),
      threads_(thread_count(threads)) {
  if (!rotation_.stream.values.empty()) {
    require_rotation(rotation_.stream, config_.width, "the residual stream");
    config_.tied_embeddings = false;
  }
  const uint64_t heads = uint64_t{config_.layers} * config_.kv_heads;
  if (!rotation_.values.empty() && rotation_.values.size() != heads) {
    fail(ErrorKind::kUsage, "{} rotations of values for {} layers of {} heads",
         rotation_.values.size(), config_.layers, config_.kv_heads);
  }
  for (const Matrix& m : rotation_.values) require_rotation(m, config_.head_size, "values");
  if (!rotation_.scales.empty()) require_scales(rotation_.scales, config_);
}

std::vector<std::string> RotatedWeights::names() const {
  std::vector<std::string> all = source_.names();
  const bool has_head = std::ranges::find(all, kHead) != all.end();
  if (!rotation_.stream.values.empty() && !has_head) all.emplace_back(kHead);
  return all;
}

uint64_t RotatedWeights::bytes() const {
  // As if all of it became wider, which is near enough to ask for memory.
  const uint64_t head = config_.tied_embeddings != source_.config().tied_embeddings
                            ? checked_mul(config_.vocabulary, config_.width)
                            : 0;
  return checked_add(checked_mul(source_.bytes(), 2), checked_mul(head, sizeof(float)));
}

bool RotatedWeights::changes(std::string_view name) const {
  using Role = Part::Role;
  const Part part = part_of(name);
  const Role role = part.role;
  const bool values =
      !rotation_.values.empty() &&
      (role == Role::kValues || role == Role::kValuesBias || role == Role::kAttended);
  const bool of_stream = role != Role::kOther && role != Role::kValuesBias;
  return values || part.scales || (!rotation_.stream.values.empty() && of_stream);
}

FormPtr RotatedWeights::origin(std::string_view name) const {
  const bool new_head = name == kHead && source_.config().tied_embeddings && changes(name);
  return source_.form(new_head ? kEmbedding : name);
}

Matrix RotatedWeights::decode(std::string_view name) const {
  const FormPtr form = origin(name);
  if (!form) fail(ErrorKind::kData, "{}: tensor {} is missing", where(), name);
  Matrix m = form::decode(*form);
  for (uint64_t i = 0; i < m.values.size(); ++i) {
    if (std::isfinite(m.values[i])) continue;
    fail(ErrorKind::kData, "{}: tensor {} cannot be rotated: element {} is {}", where(), name, i,
         m.values[i]);
  }
  return m;
}

void RotatedWeights::take_gain(Matrix& m, const std::string& norm) const {
  const Matrix gain = decode(norm);
  if (gain.values.size() != m.shape.cols) {
    fail(ErrorKind::kData, "{}: {} has {} elements for {} columns", where(), norm,
         gain.values.size(), m.shape.cols);
  }
  scale_columns(m, gain.values);
}

void RotatedWeights::rotate_columns(Matrix& m) const {
  Matrix out(m.shape);
  math::matrix_product(strided(m.view()), strided(rotation_.stream.view()), out.values.data(),
                       out.shape.cols, math::ProductInto::kReplace, threads_);
  m = std::move(out);
}

void RotatedWeights::rotate_rows(Matrix& m) const {
  Matrix out(m.shape);
  math::matrix_product(strided(rotation_.stream.view()).transposed(), strided(m.view()),
                       out.values.data(), out.shape.cols, math::ProductInto::kReplace, threads_);
  m = std::move(out);
}

void RotatedWeights::rotate_value_rows(Matrix& m, uint32_t layer) const {
  const uint64_t size = config_.head_size, cols = m.shape.cols;
  Matrix out(m.shape);
  for (uint64_t h = 0; h < config_.sizes(layer).kv_heads; ++h) {
    const Matrix& r = rotation_.values[layer * config_.kv_heads + h];
    const MatrixView head{m.row(h * size).data(), {size, cols}};
    math::matrix_product(strided(r.view()).transposed(), strided(head), out.row(h * size).data(),
                         cols, math::ProductInto::kReplace, threads_);
  }
  m = std::move(out);
}

void RotatedWeights::rotate_value_columns(Matrix& m, uint32_t layer) const {
  const LayerSizes sizes = config_.sizes(layer);
  const uint64_t size = config_.head_size, group = sizes.heads / sizes.kv_heads;
  Matrix out(m.shape);
  for (uint64_t h = 0; h < sizes.heads; ++h) {
    const Matrix& r = rotation_.values[layer * config_.kv_heads + h / group];
    math::matrix_product(columns(m, h * size, size), strided(r.view()),
                         out.values.data() + h * size, m.shape.cols, math::ProductInto::kReplace,
                         threads_);
  }
  m = std::move(out);
}

// As one column of v_proj.
void RotatedWeights::rotate_value_bias(Matrix& m, uint32_t layer) const {
  const Shape row = m.shape;
  m.shape = {row.cols, 1};
  rotate_value_rows(m, layer);
  m.shape = row;
}

FormPtr RotatedWeights::form(std::string_view name) const {
  using Role = Part::Role;
  if (!changes(name)) return source_.form(name);
  if (!origin(name)) return nullptr;
  const Part part = part_of(name);
  Matrix m = decode(name);
  const bool stream = !rotation_.stream.values.empty(), values = !rotation_.values.empty();
  const auto require = [&](uint64_t rows, uint64_t cols) {
    if (m.shape == Shape{rows, cols}) return;
    fail(ErrorKind::kData, "{}: tensor {} is {} x {} where the config asks for {} x {}", where(),
         name, m.shape.rows, m.shape.cols, rows, cols);
  };
  const uint64_t width = config_.width, size = config_.head_size;
  switch (part.role) {
    case Role::kOther:
      break;
    case Role::kNorm:
      if (stream) std::ranges::fill(m.values, 1.0F);
      if (!part.scales) break;
      require(1, width);
      for (uint64_t c = 0; c < width; ++c) m.values[c] /= (*part.scales)[c];
      break;
    case Role::kWriterBias:  // a vector of the stream
    case Role::kEmbedding:
      require(m.shape.rows, width);
      rotate_columns(m);
      break;
    case Role::kValuesBias:
      require(1, config_.sizes(part.layer).kv_heads * size);
      rotate_value_bias(m, part.layer);
      break;
    case Role::kWriter:
      require(width, m.shape.cols);
      rotate_rows(m);
      break;
    case Role::kAttended:
      require(width, config_.sizes(part.layer).heads * size);
      if (values) rotate_value_columns(m, part.layer);
      if (stream) rotate_rows(m);
      break;
    case Role::kHead:
    case Role::kReader:
    case Role::kValues:
      require(part.role == Role::kValues ? config_.sizes(part.layer).kv_heads * size : m.shape.rows,
              width);
      if (stream) take_gain(m, part.norm);
      if (stream) rotate_columns(m);
      if (part.scales) scale_columns(m, *part.scales);
      if (values && part.role == Role::kValues) rotate_value_rows(m, part.layer);
      break;
  }
  return dense(m);
}

}  // namespace pith::model
