#include "pith/audit/planted_facts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/form/tensor.h"
#include "pith/model/session.h"
#include "pith/model/weight_source.h"

namespace pith::audit {
namespace {

constexpr uint32_t kWords = 512, kNames = 64, kAnswers = 64, kTokens = kWords + kNames + kAnswers;
// Token t is of topic t % kTopics.
constexpr uint32_t kTopics = 16, kShortest = 12, kLongest = 32;
// A token's vector, and where it stands in the stream: its own, that of the token before, the
// answer's; then a one.
constexpr uint32_t kSize = 64, kOwn = 0, kBefore = kSize, kAnswer = 2 * kSize, kOne = 3 * kSize;
constexpr uint32_t kWidth = 3 * kSize + 4;
constexpr uint32_t kRotated = 32, kHead = kRotated + kSize;
// A low base, so that neighbours differ by an angle in most pairs.
constexpr double kBase = 30;
// Logits of attention, of the place and of a token's vector with itself; of the answer.
constexpr float kPlace = 8, kAlike = 32, kSure = 20;

class InMemory final : public model::WeightSource {
 public:
  explicit InMemory(model::DecoderConfig config) : config_(std::move(config)) {}

  void add(const std::string& name, uint64_t rows, uint64_t cols, const std::vector<float>& v) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(v.data());
    Buffer buffer(Bytes(bytes, bytes + v.size() * sizeof(float)));
    bytes_ += buffer.size();
    forms_[name + ".weight"] = form::from_tensor(DType::kF32, {rows, cols}, std::move(buffer));
  }

  const model::DecoderConfig& config() const override { return config_; }
  std::string where() const override { return "a model that recalls"; }
  std::optional<model::Tokenizer> tokenizer() const override { return std::nullopt; }
  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, form] : forms_) all.push_back(name);
    return all;
  }
  uint64_t bytes() const override { return bytes_; }
  form::FormPtr form(std::string_view name) const override {
    const auto found = forms_.find(std::string(name));
    return found == forms_.end() ? nullptr : found->second;
  }

 private:
  model::DecoderConfig config_;
  uint64_t bytes_ = 0;
  std::map<std::string, form::FormPtr> forms_;
};

struct Matrix {
  uint32_t rows, cols;
  std::vector<float> values = std::vector<float>(size_t{rows} * cols);

  float& at(uint32_t row, uint32_t col) { return values[size_t{row} * cols + col]; }
  // A token's vector from one place to another.
  Matrix& move(uint32_t to, uint32_t from, float by = 1) {
    for (uint32_t i = 0; i < kSize; ++i) at(to + i, from + i) = by;
    return *this;
  }
};

// Which positions attend to which by place: those one before.
void look_back(Matrix& queries, Matrix& keys) {
  for (uint32_t i = 0; i < kRotated / 2; ++i) {
    const double angle = std::pow(kBase, -2.0 * i / kRotated);
    queries.at(i, kOne) = static_cast<float>(kPlace * std::cos(angle));
    queries.at(i + kRotated / 2, kOne) = static_cast<float>(-kPlace * std::sin(angle));
    keys.at(i, kOne) = 1;
  }
}

model::DecoderConfig config() {
  model::DecoderConfig c;
  c.name = "recall";
  c.vocabulary = kTokens;
  c.layers = 2;
  c.width = kWidth;
  c.heads = c.kv_heads = 1;
  c.head_size = kHead;
  c.feed_forward = 1;
  c.rope_size = kRotated;
  c.rope_base = kBase;
  c.context = 1 << 16;
  return c;
}

}  // namespace

model::LanguageModel make_recall_model(uint64_t seed, double alike) {
  InMemory source(config());
  Matrix tokens{kTokens, kWidth}, head{kTokens, kWidth};
  for (uint32_t t = 0; t < kTokens; ++t) {
    for (uint32_t i = 0; i < kSize; ++i) {
      // Of as many numbers as the cosine is large the topic's.
      const bool topical = random_unit(seed + 1, i) < alike;
      const uint64_t drawn = topical ? kTokens + t % kTopics : t;
      const bool up = random_bits(seed, drawn * kSize + i) % 2 == 0;
      tokens.at(t, kOwn + i) = (up ? 1.0F : -1.0F) / std::sqrt(static_cast<float>(kSize));
      head.at(t, kAnswer + i) = kSure * tokens.at(t, kOwn + i);
    }
    tokens.at(t, kOne) = 1;
  }
  const auto add = [&](const std::string& name, const Matrix& m) {
    source.add(name, m.rows, m.cols, m.values);
  };
  add("model.embed_tokens", tokens);
  add("lm_head", head);
  // The stream has as many vectors of length one as these, and norms leave them so.
  const auto add_norm = [&](const std::string& name, double vectors) {
    const auto scale = static_cast<float>(std::sqrt(vectors / kWidth));
    source.add(name, 1, kWidth, std::vector<float>(kWidth, scale));
  };
  for (uint32_t layer = 0; layer < 2; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    add_norm(at + "input_layernorm", 2 + layer);
    add_norm(at + "post_attention_layernorm", 3 + layer);
    Matrix q{kHead, kWidth}, k{kHead, kWidth};
    if (layer == 0) look_back(q, k);
    if (layer == 1) {
      q.move(kRotated, kOwn, kAlike);
      k.move(kRotated, kBefore);
    }
    for (float& v : q.values) v *= std::sqrt(static_cast<float>(kHead));
    add(at + "self_attn.q_proj", q);
    add(at + "self_attn.k_proj", k);
    add(at + "self_attn.v_proj", Matrix{kHead, kWidth}.move(0, kOwn));
    add(at + "self_attn.o_proj", Matrix{kWidth, kHead}.move(layer == 0 ? kBefore : kAnswer, 0));
    add(at + "mlp.gate_proj", {1, kWidth});
    add(at + "mlp.up_proj", {1, kWidth});
    add(at + "mlp.down_proj", {kWidth, 1});
  }
  add_norm("model.norm", 4);
  return model::make_model(source);
}

std::vector<PlantedFacts> plant_facts(uint64_t texts, uint64_t length, uint64_t facts,
                                      uint64_t seed) {
  const uint64_t room = length * 9 / 10 / 2;  // places of two tokens
  if (facts < 1 || facts > kNames || facts > room)
    fail(ErrorKind::kUsage, "{} facts in {} tokens: at least 1, at most {}", facts, length,
         std::min<uint64_t>(kNames, room));
  std::vector<PlantedFacts> all(texts);
  uint64_t drawn = 0;
  const auto draw = [&](uint64_t below) { return random_bits(seed, drawn++) % below; };
  const auto token = [](uint64_t t) { return static_cast<int32_t>(t); };
  for (PlantedFacts& text : all) {
    for (uint64_t i = 0; i < length; ++i) text.ids.push_back(token(draw(kWords)));
    std::set<uint64_t> places, names;
    while (places.size() < facts) places.insert(draw(room));
    for (const uint64_t place : places) {
      uint64_t name = draw(kNames);
      while (!names.insert(name).second) name = draw(kNames);
      text.ids[2 * place] = token(kWords + name);
      text.ids[2 * place + 1] = token(kWords + kNames + draw(kAnswers));
    }
    text.place = 2 * *std::next(places.begin(), static_cast<int64_t>(draw(facts)));
    text.answer = text.ids[text.place + 1];
    text.ids.back() = text.ids[text.place];
  }
  return all;
}

std::vector<PlantedFacts> plant_in_segments(uint64_t texts, uint64_t length, uint64_t facts,
                                            uint64_t seed) {
  const uint64_t sure = length * 9 / 10 / kLongest;
  if (facts < 1 || facts > std::min<uint64_t>(sure, kNames / 2))
    fail(ErrorKind::kUsage, "{} facts in segments of {} tokens: at least 1, at most {}", facts,
         length, std::min<uint64_t>(sure, kNames / 2));
  std::vector<PlantedFacts> all(texts);
  uint64_t drawn = 0;
  const auto draw = [&](uint64_t below) { return random_bits(seed, drawn++) % below; };
  const auto token = [](uint64_t t) { return static_cast<int32_t>(t); };
  for (PlantedFacts& text : all) {
    std::set<uint64_t> names;
    std::vector<uint64_t> places;
    uint64_t topic = draw(kTopics);
    while (text.ids.size() < length) {
      topic = (topic + 1 + draw(kTopics - 1)) % kTopics;
      const uint64_t begin = text.ids.size(), size = kShortest + draw(kLongest - kShortest + 1);
      // No word twice: it would be looked for there and nowhere else.
      const uint64_t first = draw(kWords / kTopics), step = 2 * draw(kWords / kTopics / 2) + 1;
      for (uint64_t i = 0; i < size; ++i)
        text.ids.push_back(token((first + i * step) % (kWords / kTopics) * kTopics + topic));
      // Every segment may have one, until there are enough.
      const uint64_t name = draw(kNames / kTopics) * kTopics + topic;
      if (begin + size > length * 9 / 10 || places.size() == facts || !names.insert(name).second)
        continue;
      places.push_back(begin + draw(size - 1));
      text.ids[places.back()] = token(kWords + name);
      text.ids[places.back() + 1] = token(kWords + kNames + draw(kAnswers));
    }
    text.ids.resize(length);
    text.place = places[draw(places.size())];
    text.answer = text.ids[text.place + 1];
    text.ids.back() = text.ids[text.place];
  }
  return all;
}

double recall(const model::LanguageModel& model, std::span<const PlantedFacts> texts,
              const std::optional<kv::CacheOptions>& cache, int threads) {
  uint64_t right = 0;
  for (const PlantedFacts& text : texts) {
    model::Session session(model, text.ids.size(), threads, 0, cache);
    const std::span<const int32_t> ids(text.ids);
    if (cache && cache->prompts == kv::Prompts::kAsked) {
      session.feed_asked(ids.first(ids.size() - 1), ids.last(1));
    } else {
      session.feed(ids.first(ids.size() - 1), model::Logits::kNone);
    }
    const form::MatrixView logits = session.feed(ids.last(1));
    const std::span<const float> row(logits.data, logits.shape.cols);
    right += std::ranges::max_element(row) - row.begin() == text.answer;
  }
  return texts.empty() ? 0 : static_cast<double>(right) / static_cast<double>(texts.size());
}

}  // namespace pith::audit
