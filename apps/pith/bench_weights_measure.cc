#include "bench_weights_measure.h"

#include <algorithm>
#include <fstream>

#include "pith/base/file.h"
#include "pith/base/hash.h"
#include "pith/base/parallel.h"
#include "pith/form/form.h"
#include "pith/model/prompt.h"
#include "pith/model/weight_source.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kContext = 512;

// Another source's weights as the floats that they stand for.
class DecodedWeights : public model::WeightSource {
 public:
  explicit DecodedWeights(const fs::path& path) : source_(model::open_weights(path)) {}

  const model::DecoderConfig& config() const override { return source_->config(); }
  std::string where() const override { return source_->where(); }
  std::optional<model::Tokenizer> tokenizer() const override { return source_->tokenizer(); }
  std::vector<std::string> names() const override { return source_->names(); }
  uint64_t bytes() const override { return source_->bytes(); }
  form::FormPtr form(std::string_view name) const override {
    const form::FormPtr coded = source_->form(name);
    if (!coded) return coded;
    static const form::Expression f32 = form::parse("dense(f32)");
    return form::encode(f32, form::decode(*coded).view());
  }

 private:
  std::unique_ptr<model::WeightSource> source_;
};

Json measured_json(const audit::Measured& m) {
  Json j = {{"mean", m.mean}};
  if (m.interval) j["interval"] = {m.interval->low, m.interval->high};
  return j;
}

audit::Measured measured_of(const Json& j) {
  audit::Measured m;
  m.mean = j.at("mean");
  if (j.contains("interval")) m.interval = {j.at("interval").at(0), j.at("interval").at(1)};
  return m;
}

uint64_t weights_in(const fs::path& model) {
  const auto source = model::open_weights(model);
  uint64_t n = 0;
  for (const std::string& name : source->names()) n += source->form(name)->shape().size();
  return n;
}

audit::PerplexityOptions protocol(const model::LanguageModel& model, uint64_t windows) {
  audit::PerplexityOptions o{.context = kContext, .max_windows = windows, .changed = 0};
  o.threads = thread_count(0);
  const model::Tokenizer& tokenizer = model::tokenizer_of(model);
  if (tokenizer.adds_bos()) o.bos = tokenizer.bos() ? tokenizer.bos() : model.config().bos;
  return o;
}

}  // namespace

KeptLogits::KeptLogits(const model::LanguageModel& model, uint64_t context, int threads)
    : session_(model, context, threads), model_(audit::logits_of(session_)) {
  constexpr uint64_t kMost = uint64_t{2} << 30;
  source_.vocabulary = model_.vocabulary;
  source_.feed = [this, context](std::span<const int32_t> ids, uint64_t position, bool wanted) {
    // Parts of windows need what the session read before them: only windows that are read at once
    // are kept.
    const bool whole = position == 0 && ids.size() == context && wanted;
    if (!whole) return model_.feed(ids, position, wanted);
    std::vector<int32_t> key(ids.begin(), ids.end());
    const auto found = kept_.find(key);
    if (found != kept_.end()) return found->second.view();
    const form::MatrixView logits = model_.feed(ids, position, wanted);
    const uint64_t size = logits.shape.size() * sizeof(float);
    if (bytes_ + size > kMost) return logits;
    bytes_ += size;
    form::Matrix own(logits.shape);
    for (uint64_t r = 0; r < logits.shape.rows; ++r) {
      std::ranges::copy(logits.row(r), own.row(r).begin());
    }
    return kept_.emplace(std::move(key), std::move(own)).first->second.view();
  };
}

WeightMeasurer::WeightMeasurer(const fs::path& model, std::vector<TextSample> texts,
                               uint64_t windows, const fs::path& folder)
    : kept_(folder / "figures.json"),
      texts_(std::move(texts)),
      weights_(weights_in(model)),
      model_(model::make_model(DecodedWeights(model))),
      options_(protocol(model_, windows)),
      logits_(model_, kContext, options_.threads) {
  results_ = Json::object();
  if (fs::exists(kept_)) {
    std::ifstream in(kept_);
    results_ = Json::parse(in, nullptr, false);
    if (!results_.is_object()) results_ = Json::object();
  }
  model_hash_ = hash_of(model / "model.safetensors");
  for (const TextSample& t : texts_) {
    // Of windows that nobody reads no ids are needed: few tokens have more than eight bytes.
    const std::string_view begin = std::string_view(t.text).substr(0, 8 * kContext * (windows + 1));
    ids_.push_back(model::text_ids(model_, begin, {.add_bos = false}));
    text_hashes_.push_back(hash128(as_bytes(t.text)).hex());
    reference_.push_back(audit::evaluate(logits_.source(), ids_.back(), options_).model);
  }
}

std::string WeightMeasurer::hash_of(const fs::path& file) {
  const MappedFile mapped(file);
  return hash128(mapped.bytes()).hex();
}

std::string WeightMeasurer::key(const std::string& hash, size_t text) const {
  return fmt::format("{} {} {} {}", hash, model_hash_, text_hashes_[text], options_.max_windows);
}

bool WeightMeasurer::known(const std::string& hash, size_t text) const {
  return results_.contains(key(hash, text));
}

WeightFigures WeightMeasurer::recall(const std::string& hash, size_t text) const {
  const Json& j = results_.at(key(hash, text));
  return {measured_of(j.at("kl")), measured_of(j.at("same_best")), j.at("loss"), j.at("perplexity"),
          j.at("perplexity_error")};
}

void WeightMeasurer::remember(const std::string& hash, size_t text, const WeightFigures& f) {
  results_[key(hash, text)] = {{"kl", measured_json(f.kl)},
                               {"same_best", measured_json(f.same_best)},
                               {"loss", f.loss},
                               {"perplexity", f.perplexity},
                               {"perplexity_error", f.perplexity_error}};
  AtomicFile out(kept_, true);
  out.write(as_bytes(results_.dump(1)));
  out.commit();
}

WeightFigures WeightMeasurer::measure_now(const fs::path& file, size_t text) {
  const model::LanguageModel subject = model::make_model(DecodedWeights(file));
  model::Session session(subject, kContext, options_.threads);
  const audit::Evaluation e =
      audit::evaluate(audit::logits_of(session), ids_[text], options_, &logits_.source());
  return {e.divergence->kl, e.divergence->same_best, e.model.loss.mean, e.model.perplexity(),
          e.model.perplexity_error().value_or(0)};
}

}  // namespace pith::bench
