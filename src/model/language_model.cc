#include "pith/model/language_model.h"

#include "memory_needs.h"
#include "pith/base/error.h"
#include "pith/io/text.h"

namespace pith::model {
namespace {

// Takes tensors by name and holds them against the config.
class Loader {
 public:
  explicit Loader(const WeightSource& source) : source_(source), config_(source.config()) {}

  DecoderWeights load() const {
    DecoderWeights w;
    w.embedding = matrix("model.embed_tokens.weight", config_.vocabulary, config_.width);
    for (uint32_t l = 0; l < config_.layers; ++l) w.layers.push_back(layer(l));
    w.norm = vector("model.norm.weight", config_.width);
    if (config_.tied_embeddings) {
      w.head.weight = w.embedding;
      w.head.name = "model.embed_tokens.weight";
    } else {
      w.head = linear("lm_head", config_.vocabulary, config_.width, false);
    }
    return w;
  }

 private:
  DecoderLayer layer(uint32_t index) const {
    const std::string at = fmt::format("model.layers.{}.", index);
    DecoderLayer layer;
    if (config_.has_attention(index)) add_attention(at, config_.sizes(index), layer);
    if (!config_.has_feed_forward(index)) return layer;
    layer.feed_forward_norm = vector(at + "post_attention_layernorm.weight", config_.width);
    if (config_.has_experts(index)) {
      layer.experts = experts(at);
    } else {
      layer.feed_forward = feed_forward(at + "mlp.", config_.sizes(index).feed_forward);
    }
    return layer;
  }

  void add_attention(const std::string& at, const LayerSizes& sizes, DecoderLayer& layer) const {
    const DecoderConfig& c = config_;
    const uint32_t all = sizes.heads * c.head_size, kv = sizes.kv_heads * c.head_size;
    layer.attention_norm = vector(at + "input_layernorm.weight", c.width);
    layer.q = linear(at + "self_attn.q_proj", all, c.width, c.qkv_bias);
    layer.k = linear(at + "self_attn.k_proj", kv, c.width, c.qkv_bias);
    layer.v = linear(at + "self_attn.v_proj", kv, c.width, c.qkv_bias);
    layer.output = linear(at + "self_attn.o_proj", c.width, all, c.output_bias);
    if (c.qk_norm) {
      layer.q_norm = vector(at + "self_attn.q_norm.weight", c.head_size);
      layer.k_norm = vector(at + "self_attn.k_norm.weight", c.head_size);
    }
  }

  FeedForward feed_forward(const std::string& at, uint32_t size) const {
    return {linear(at + "gate_proj", size, config_.width, config_.mlp_bias),
            linear(at + "up_proj", size, config_.width, config_.mlp_bias),
            linear(at + "down_proj", config_.width, size, config_.mlp_bias)};
  }

  Experts experts(const std::string& at) const {
    const DecoderConfig& c = config_;
    const bool mixtral = c.architecture == Architecture::kMixtral;
    const std::string block = at + (mixtral ? "block_sparse_moe." : "mlp.");
    const uint32_t size = c.expert_feed_forward;
    Experts e;
    e.router = matrix(block + "gate.weight", c.experts, c.width);
    for (uint32_t k = 0; k < c.experts; ++k) {
      const std::string expert = fmt::format("{}experts.{}.", block, k);
      e.experts.push_back({linear(expert + (mixtral ? "w1" : "gate_proj"), size, c.width, false),
                           linear(expert + (mixtral ? "w3" : "up_proj"), size, c.width, false),
                           linear(expert + (mixtral ? "w2" : "down_proj"), c.width, size, false)});
    }
    if (c.shared_feed_forward != 0) {
      e.shared = feed_forward(block + "shared_expert.", c.shared_feed_forward);
      if (source_.form(block + "shared_expert_gate.weight")) {
        e.shared_gate = matrix(block + "shared_expert_gate.weight", 1, c.width);
      }
    }
    return e;
  }

  Linear linear(const std::string& name, uint64_t rows, uint64_t cols, bool bias) const {
    Linear l{matrix(name + ".weight", rows, cols), {}, name + ".weight"};
    if (bias || source_.form(name + ".bias")) l.bias = vector(name + ".bias", rows);
    return l;
  }

  form::FormPtr matrix(const std::string& name, uint64_t rows, uint64_t cols) const {
    form::FormPtr form = source_.form(name);
    if (!form) fail(ErrorKind::kData, "tensor {} is missing", name);
    if (form->shape() != form::Shape{rows, cols}) {
      fail(ErrorKind::kData, "tensor {} is {} x {} where the config asks for {} x {}", name,
           form->shape().rows, form->shape().cols, rows, cols);
    }
    return form;
  }

  std::vector<float> vector(const std::string& name, uint64_t size) const {
    return form::decode(*matrix(name, 1, size)).values;
  }

  const WeightSource& source_;
  const DecoderConfig& config_;
};

// What is mapped needs memory, but no addresses that are not taken already.
void check_memory(const WeightSource& source, const LoadOptions& options) {
  if (options.memory_limit && *options.memory_limit == 0) return;
  MemoryLeft left = memory_left();
  if (options.memory_limit) left.memory = options.memory_limit;
  MemoryNeeds needs{
      .weights = source.bytes(), .others = options.others, .positions = options.positions};
  if (options.positions > 0) needs.cache = cache_bytes(source.config(), options.positions);
  require(needs, {left.memory, std::nullopt}, source.where());
  needs.weights = source.decoded_bytes();
  needs.others = 0;
  require(needs, {std::nullopt, left.addresses}, source.where());
}

}  // namespace

LanguageModel::LanguageModel(Parts parts)
    : parts_(std::make_shared<const Parts>(std::move(parts))),
      prepared_(std::make_shared<std::atomic<bool>>(false)) {}

uint64_t LanguageModel::unprepared_bytes() const {
  return *prepared_ ? 0 : rearranged_bytes(weights());
}

LanguageModel make_model(const WeightSource& source, const LoadOptions& options) {
  check_memory(source, options);
  LanguageModel::Parts parts;
  parts.config = source.config();
  parts.where = source.where();
  parts.weight_bytes = source.bytes();
  parts.releaser = source.releaser();
  try {
    check(parts.config);
    parts.weights = Loader(source).load();
  } catch (const Error& error) {
    const std::string_view what = error.what();
    throw what.starts_with(parts.where) ? error : error.in(parts.where);
  }
  if (options.tokenizer) {
    try {
      parts.tokenizer = source.tokenizer();
    } catch (const Error& error) {
      const std::string_view what = error.what();
      parts.tokenizer_error = what.starts_with(parts.where) ? what : error.in(parts.where).what();
    }
  }
  return LanguageModel(std::move(parts));
}

LanguageModel load_model(const std::filesystem::path& path, const LoadOptions& options) {
  return make_model(*open_weights(path), options);
}

}  // namespace pith::model
