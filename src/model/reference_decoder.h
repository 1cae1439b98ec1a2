// The forward pass of a decoder in double precision, one position after the other, in plain loops:
// what the fast one is held against. Test-only.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "pith/form/form.h"
#include "pith/model/weight_source.h"

namespace pith::model::testing {

using Doubles = std::vector<double>;

class ReferenceDecoder {
 public:
  // `length`: of texts, as for a session.
  ReferenceDecoder(const WeightSource& source, uint64_t length)
      : source_(source), c_(source.config()), length_(length) {
    keys_.resize(c_.layers);
    values_.resize(c_.layers);
  }

  // Reads one more token; the logits of what follows.
  Doubles feed(int32_t id) {
    const form::Matrix embedding = matrix("model.embed_tokens.weight");
    Doubles x = row(embedding, static_cast<uint64_t>(id));
    for (uint32_t l = 0; l < c_.layers; ++l) {
      const std::string at = "model.layers." + std::to_string(l) + ".";
      if (c_.has_attention(l)) {
        add(attention(l, at + "self_attn.", norm(x, at + "input_layernorm.weight")), 1, x);
      }
      if (!c_.has_feed_forward(l)) continue;
      const Doubles h = norm(x, at + "post_attention_layernorm.weight");
      add(c_.has_experts(l) ? experts(at, h, kept(l, x)) : feed_forward(at + "mlp.", h, false), 1,
          x);
    }
    ++position_;
    x = norm(x, "model.norm.weight");
    return c_.tied_embeddings ? product(embedding, x) : linear("lm_head", x);
  }

 private:
  form::Matrix matrix(const std::string& name) const { return form::decode(*source_.form(name)); }

  static Doubles row(const form::Matrix& m, uint64_t r) {
    const auto view = m.view().row(r);
    return {view.begin(), view.end()};
  }

  static Doubles product(const form::Matrix& m, const Doubles& x) {
    Doubles y(m.shape.rows);
    for (uint64_t r = 0; r < m.shape.rows; ++r) {
      const auto weights = m.view().row(r);
      for (uint64_t i = 0; i < x.size(); ++i) y[r] += weights[i] * x[i];
    }
    return y;
  }

  Doubles linear(const std::string& name, const Doubles& x) const {
    Doubles y = product(matrix(name + ".weight"), x);
    if (source_.form(name + ".bias")) add(row(matrix(name + ".bias"), 0), 1, y);
    return y;
  }

  static void add(const Doubles& x, double scale, Doubles& to) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += scale * x[i];
  }

  Doubles norm(const Doubles& x, const std::string& name) const {
    const Doubles weight = row(matrix(name), 0);
    double squares = 0;
    for (const double v : x) squares += v * v;
    Doubles y(x);
    const double scale = std::sqrt(squares / static_cast<double>(x.size()) + c_.norm_eps);
    for (size_t i = 0; i < y.size(); ++i) y[i] = x[i] / scale * weight[i];
    return y;
  }

  // Angle per position of pair i, and by how much the rotated are longer; from the definitions.
  double frequency(uint64_t i, double& longer) const {
    using Kind = RopeScaling::Kind;
    const RopeScaling& s = c_.rope_scaling;
    const double d = c_.rope_size, k = static_cast<double>(i);
    const double original =
        static_cast<double>(s.original_context ? s.original_context : c_.context);
    const double wave = 2 * std::numbers::pi * std::pow(c_.rope_base, 2 * k / d);
    double f = 2 * std::numbers::pi / wave;
    const auto length = static_cast<double>(length_);
    longer = 1;
    switch (s.kind) {
      case Kind::kLinear:
        f /= s.factor;
        break;
      case Kind::kLlama3: {
        const double low = original / s.low_frequency, high = original / s.high_frequency;
        if (wave > low) {
          f /= s.factor;
        } else if (wave >= high) {
          const double smooth =
              (original / wave - s.low_frequency) / (s.high_frequency - s.low_frequency);
          f = (1 - smooth) * f / s.factor + smooth * f;
        }
        break;
      }
      case Kind::kYarn: {
        const auto dimension = [&](double turns) {
          return d * std::log(original / (turns * 2 * std::numbers::pi)) /
                 (2 * std::log(c_.rope_base));
        };
        const double low = std::max(std::floor(dimension(s.beta_fast)), 0.0);
        double high = std::min(std::ceil(dimension(s.beta_slow)), d - 1);
        if (low == high) high += 0.001;
        const double ramp = std::min(std::max((k - low) / (high - low), 0.0), 1.0);
        f = f / s.factor * ramp + f * (1 - ramp);
        longer = 0.1 * std::log(s.factor) + 1;
        break;
      }
      case Kind::kDynamic:
        if (length > original) {
          const double base =
              c_.rope_base * std::pow(s.factor * length / original - (s.factor - 1), d / (d - 2));
          f = std::pow(base, -2 * k / d);
        }
        break;
      case Kind::kLongRope:
        f /= (length > original ? s.long_factors : s.short_factors)[i];
        longer = std::sqrt(1 + std::log(static_cast<double>(c_.context) / original) /
                                   std::log(original));
        break;
      case Kind::kNone:
        break;
    }
    if (s.attention_factor) longer = *s.attention_factor;
    if (!s.divisors.empty()) f /= s.divisors[i];
    return f;
  }

  void rotate(double* head) const {
    const uint64_t half = c_.rope_size / 2;
    for (uint64_t i = 0; i < half; ++i) {
      const bool halves = c_.rope_layout == RopeLayout::kHalves;
      double& a = head[halves ? i : 2 * i];
      double& b = head[halves ? i + half : 2 * i + 1];
      double longer = 1;
      const double angle = static_cast<double>(position_) * frequency(i, longer);
      const double c = std::cos(angle) * longer, s = std::sin(angle) * longer;
      const double turned = a * c - b * s;
      b = a * s + b * c;
      a = turned;
    }
  }

  Doubles heads(const std::string& at, const std::string& of, uint32_t count,
                const Doubles& x) const {
    Doubles all = linear(at + of + "_proj", x);
    for (uint32_t h = 0; h < count; ++h) {
      const auto begin = all.begin() + h * c_.head_size;
      Doubles head(begin, begin + c_.head_size);
      if (c_.qk_norm) head = norm(head, at + of + "_norm.weight");
      rotate(head.data());
      std::ranges::copy(head, begin);
    }
    return all;
  }

  Doubles attention(uint32_t layer, const std::string& at, const Doubles& x) {
    const LayerSizes sizes = c_.sizes(layer);
    const Doubles q = heads(at, "q", sizes.heads, x);
    keys_[layer].push_back(heads(at, "k", sizes.kv_heads, x));
    values_[layer].push_back(linear(at + "v_proj", x));
    Doubles out(q.size());
    own_ = 0;
    const uint64_t size = c_.head_size, seen = position_ + 1, window = c_.window(layer);
    const uint64_t begin = window && seen > window ? seen - window : 0;
    for (uint32_t h = 0; h < sizes.heads; ++h) {
      const uint64_t shared = h / (sizes.heads / sizes.kv_heads) * size;
      Doubles weights;
      double sum = 0;
      for (uint64_t p = begin; p < seen; ++p) {
        double dot = 0;
        for (uint64_t i = 0; i < size; ++i) dot += q[h * size + i] * keys_[layer][p][shared + i];
        weights.push_back(std::exp(dot / std::sqrt(static_cast<double>(size))));
        sum += weights.back();
      }
      own_ += weights.back() / sum / sizes.heads;
      for (uint64_t p = begin; p < seen; ++p) {
        for (uint64_t i = 0; i < size; ++i) {
          out[h * size + i] += weights[p - begin] / sum * values_[layer][p][shared + i];
        }
      }
    }
    return linear(at + "o_proj", out);
  }

  Doubles feed_forward(const std::string& at, const Doubles& x, bool mixtral) const {
    Doubles gate = linear(at + (mixtral ? "w1" : "gate_proj"), x);
    const Doubles up = linear(at + (mixtral ? "w3" : "up_proj"), x);
    for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
    return linear(at + (mixtral ? "w2" : "down_proj"), gate);
  }

  // The share of the heaviest expert's weight below which others are left out.
  double kept(uint32_t layer, const Doubles& stream) const {
    const ExpertThresholds t = c_.thresholds(layer);
    double size = 0;
    for (const double v : stream) size += std::abs(v);
    return size * own_ >= t.importance ? 0 : t.ratio;
  }

  Doubles experts(const std::string& at, const Doubles& x, double least) const {
    const bool mixtral = c_.architecture == Architecture::kMixtral;
    const std::string block = at + (mixtral ? "block_sparse_moe." : "mlp.");
    Doubles p = linear(block + "gate", x);
    double sum = 0;
    for (double& v : p) sum += v = std::exp(v);
    std::vector<std::pair<double, uint32_t>> order;
    for (uint32_t e = 0; e < p.size(); ++e) order.emplace_back(-p[e] / sum, e);
    std::ranges::sort(order);
    order.resize(c_.experts_per_token);
    std::erase_if(order, [&, most = order[0].first](const auto& e) {
      return e.first > least * most;  // both are negative
    });
    double chosen = 0;
    for (const auto& [weight, e] : order) chosen -= weight;
    Doubles y(x.size());
    for (const auto& [weight, e] : order) {
      const double scale = c_.normalize_experts ? -weight / chosen : -weight;
      add(feed_forward(block + "experts." + std::to_string(e) + ".", x, mixtral), scale, y);
    }
    if (c_.shared_feed_forward != 0) {
      const double gate = linear(block + "shared_expert_gate", x)[0];
      add(feed_forward(block + "shared_expert.", x, false), 1 / (1 + std::exp(-gate)), y);
    }
    return y;
  }

  const WeightSource& source_;
  const DecoderConfig& c_;
  uint64_t length_, position_ = 0;
  std::vector<std::vector<Doubles>> keys_, values_;  // [layer][position]
  double own_ = 0;  // that queries gave their own position, on the mean of the latest heads
};

}  // namespace pith::model::testing
