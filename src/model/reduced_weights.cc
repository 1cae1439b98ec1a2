#include "pith/model/reduced_weights.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "pith/base/error.h"
#include "pith/base/float_elements.h"
#include "pith/form/tensor.h"

namespace pith::model {

using form::FormPtr;
using form::Matrix;
using form::Shape;

namespace {

constexpr std::string_view kLayers = "model.layers.";

DType type_of(const form::Form& form) {
  const form::Expression expression = form.expression();
  for (const DType type : {DType::kF16, DType::kBF16}) {
    if (form::tensor_expression(type) == expression) return type;
  }
  return DType::kF32;
}

FormPtr tensor(const Matrix& m, DType type) {
  Bytes bytes(checked_mul(m.values.size(), info(type).block_bytes));
  elements_from(m.values, type, false, bytes);
  return form::from_tensor(type, m.shape, Buffer(std::move(bytes)));
}

Matrix some_rows(const Matrix& m, const std::vector<uint32_t>& rows) {
  Matrix out({rows.size(), m.shape.cols});
  for (size_t r = 0; r < rows.size(); ++r) {
    std::ranges::copy(m.view().row(rows[r]), out.row(r).begin());
  }
  return out;
}

Matrix some_columns(const Matrix& m, const std::vector<uint32_t>& columns) {
  Matrix out({m.shape.rows, columns.size()});
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (size_t c = 0; c < columns.size(); ++c) out.row(r)[c] = m.view().row(r)[columns[c]];
  }
  return out;
}

// The elements of these heads.
std::vector<uint32_t> elements_of(const std::vector<uint32_t>& heads, uint32_t size) {
  std::vector<uint32_t> all(heads.size() * size);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i] = heads[i / size] * size + static_cast<uint32_t>(i % size);
  }
  return all;
}

void require_ascending(const std::vector<uint32_t>& kept, uint32_t most, std::string_view what) {
  for (size_t i = 0; i < kept.size(); ++i) {
    if (kept[i] < most && (i == 0 || kept[i - 1] < kept[i])) continue;
    fail(ErrorKind::kUsage, "{} that are kept: {} of {} is not there, or out of order", what,
         kept[i], most);
  }
}

void require_shape(const Matrix& m, uint64_t rows, uint64_t cols, std::string_view what) {
  if (m.values.empty() || m.shape == Shape{rows, cols}) return;
  fail(ErrorKind::kUsage, "what takes the place of {} is {} x {}, not {} x {}", what, m.shape.rows,
       m.shape.cols, rows, cols);
}

// Checks it, and gives what the layer has then.
LayerSizes reduced(const DecoderConfig& config, uint32_t index, const ReducedLayer& layer) {
  LayerSizes sizes = config.sizes(index);
  if (layer.heads) {
    sizes.kv_heads = static_cast<uint32_t>(kept_kv_heads(sizes, *layer.heads).size());
    sizes.heads = static_cast<uint32_t>(layer.heads->size());
  }
  require_shape(layer.output, config.width, uint64_t{sizes.heads} * config.head_size, "o_proj");
  if (config.has_experts(index)) {
    if (layer.units && !layer.units->empty()) {
      fail(ErrorKind::kUsage, "experts are taken out together or not at all");
    }
    if (layer.units) sizes.feed_forward = 0;
    require_shape(layer.down, 0, 0, "experts");
    return sizes;
  }
  if (layer.units) {
    require_ascending(*layer.units, sizes.feed_forward, "units");
    sizes.feed_forward = static_cast<uint32_t>(layer.units->size());
  }
  require_shape(layer.down, config.width, sizes.feed_forward, "down_proj");
  return sizes;
}

}  // namespace

std::vector<uint32_t> kept_kv_heads(const LayerSizes& sizes, const std::vector<uint32_t>& heads) {
  require_ascending(heads, sizes.heads, "heads");
  std::vector<uint32_t> kept, counts;
  for (const uint32_t h : heads) {
    const uint32_t shared = h / (sizes.heads / sizes.kv_heads);
    if (kept.empty() || kept.back() != shared) {
      kept.push_back(shared);
      counts.push_back(0);
    }
    ++counts.back();
  }
  if (std::ranges::adjacent_find(counts, std::not_equal_to<>()) != counts.end()) {
    fail(ErrorKind::kUsage, "kept query heads are not shared evenly by those of keys and values");
  }
  return kept;
}

// What a tensor is to the reduction.
struct ReducedWeights::Part {
  enum class Role : uint8_t { kOther, kGone, kHeads, kKvHeads, kOutput, kUnits, kDown };
  Role role = Role::kOther;
  uint32_t layer = 0;
};

ReducedWeights::Part ReducedWeights::part_of(std::string_view name) const {
  using Role = Part::Role;
  if (!name.starts_with(kLayers)) return {};
  const std::string_view rest = name.substr(kLayers.size());
  uint32_t index = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
  if (error != std::errc() || index >= config_.layers) return {};
  const std::string_view tail = rest.substr(static_cast<size_t>(end - rest.data()));
  const ReducedLayer& layer = reduction_.layers[index];
  if (tail.starts_with(".self_attn.") || tail.starts_with(".input_layernorm.")) {
    if (!config_.has_attention(index)) return {Role::kGone, index};
    if (!layer.heads && layer.output.values.empty()) return {};
    if (tail.starts_with(".self_attn.q_proj.")) return {Role::kHeads, index};
    if (tail.starts_with(".self_attn.k_proj.") || tail.starts_with(".self_attn.v_proj.")) {
      return {Role::kKvHeads, index};
    }
    if (tail == ".self_attn.o_proj.weight") return {Role::kOutput, index};
    return {};
  }
  if (!config_.has_feed_forward(index)) return {Role::kGone, index};
  if (!layer.units && layer.down.values.empty()) return {};
  if (tail.starts_with(".mlp.gate_proj.") || tail.starts_with(".mlp.up_proj.")) {
    return {Role::kUnits, index};
  }
  if (tail == ".mlp.down_proj.weight") return {Role::kDown, index};
  return {};
}

ReducedWeights::ReducedWeights(const WeightSource& source, Reduction reduction)
    : source_(source), reduction_(std::move(reduction)), config_(source.config()) {
  if (reduction_.layers.size() != config_.layers) {
    fail(ErrorKind::kUsage, "a reduction of {} layers for a model of {}", reduction_.layers.size(),
         config_.layers);
  }
  std::vector<LayerSizes> sizes;
  for (uint32_t l = 0; l < config_.layers; ++l) {
    try {
      sizes.push_back(reduced(source.config(), l, reduction_.layers[l]));
    } catch (const Error& error) {
      throw error.in(fmt::format("layer {}", l));
    }
  }
  config_.layer_sizes = std::move(sizes);
  if (config_.architecture == Architecture::kLlama) config_.architecture = Architecture::kDeci;
}

std::vector<std::string> ReducedWeights::names() const {
  std::vector<std::string> all = source_.names();
  std::erase_if(all,
                [&](const std::string& name) { return part_of(name).role == Part::Role::kGone; });
  return all;
}

FormPtr ReducedWeights::form(std::string_view name) const {
  using Role = Part::Role;
  const Part part = part_of(name);
  if (part.role == Role::kGone) return nullptr;
  FormPtr form = source_.form(name);
  if (!form || part.role == Role::kOther) return form;
  const ReducedLayer& layer = reduction_.layers[part.layer];
  const LayerSizes sizes = source_.config().sizes(part.layer);
  const uint32_t size = config_.head_size;
  const DType type = type_of(*form);
  if (part.role == Role::kOutput && !layer.output.values.empty()) return tensor(layer.output, type);
  if (part.role == Role::kDown && !layer.down.values.empty()) return tensor(layer.down, type);
  const bool of_heads =
      part.role == Role::kHeads || part.role == Role::kKvHeads || part.role == Role::kOutput;
  if (of_heads ? !layer.heads : !layer.units) return form;
  std::vector<uint32_t> kept;
  if (!of_heads) {
    kept = *layer.units;
  } else if (part.role == Role::kKvHeads) {
    kept = elements_of(kept_kv_heads(sizes, *layer.heads), size);
  } else {
    kept = elements_of(*layer.heads, size);
  }
  const Matrix m = form::decode(*form);
  // Biases are rows of one.
  const bool by_column =
      part.role == Role::kOutput || part.role == Role::kDown || name.ends_with(".bias");
  const uint64_t there = by_column ? m.shape.cols : m.shape.rows;
  if (!kept.empty() && kept.back() >= there) {
    fail(ErrorKind::kData, "{}: tensor {} is {} x {}, less than the config asks for", where(), name,
         m.shape.rows, m.shape.cols);
  }
  return tensor(by_column ? some_columns(m, kept) : some_rows(m, kept), type);
}

}  // namespace pith::model
