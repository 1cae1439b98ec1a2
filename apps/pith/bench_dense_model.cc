#include "bench_dense_model.h"

#include <algorithm>

#include "pith/base/parallel.h"
#include "pith/form/form.h"
#include "pith/model/prompt.h"
#include "pith/model/weight_source.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kContext = 512;

// Another source's weights as the floats that they stand for, but for those that are changed.
class DecodedWeights : public model::WeightSource {
 public:
  explicit DecodedWeights(const fs::path& path, const DenseModel::Matrices* changed = nullptr)
      : source_(model::open_weights(path)), changed_(changed) {}

  const model::DecoderConfig& config() const override { return source_->config(); }
  std::string where() const override { return source_->where(); }
  std::optional<model::Tokenizer> tokenizer() const override { return source_->tokenizer(); }
  std::vector<std::string> names() const override { return source_->names(); }
  uint64_t bytes() const override { return source_->bytes(); }
  form::FormPtr form(std::string_view name) const override {
    const form::FormPtr coded = source_->form(name);
    if (!coded) return coded;
    static const form::Expression f32 = form::parse("dense(f32)");
    if (changed_ != nullptr) {
      const auto found = changed_->find(name);
      if (found != changed_->end()) return form::encode(f32, found->second.view());
    }
    return form::encode(f32, form::decode(*coded).view());
  }

 private:
  std::unique_ptr<model::WeightSource> source_;
  const DenseModel::Matrices* changed_;
};

uint64_t weights_in(const fs::path& model) {
  const auto source = model::open_weights(model);
  uint64_t n = 0;
  for (const std::string& name : source->names()) n += source->form(name)->shape().size();
  return n;
}

audit::PerplexityOptions protocol_of(const model::LanguageModel& model, uint64_t windows,
                                     int threads) {
  audit::PerplexityOptions o{.context = std::min<uint64_t>(kContext, model.config().context),
                             .max_windows = windows,
                             .changed = 0};
  o.threads = thread_count(threads);
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

DenseModel::DenseModel(const fs::path& path, uint64_t windows, int threads)
    : path_(path),
      weights_(weights_in(path)),
      model_(model::make_model(DecodedWeights(path))),
      protocol_(protocol_of(model_, windows, threads)),
      logits_(model_, protocol_.context, protocol_.threads) {}

// Of windows that nobody reads no ids are needed: few tokens have more than eight bytes.
std::vector<int32_t> DenseModel::ids(std::string_view text) const {
  const uint64_t bytes = 8 * protocol_.context * (protocol_.max_windows + 1);
  return model::text_ids(model_, text.substr(0, bytes), {.add_bos = false});
}

audit::Loss DenseModel::loss(std::span<const int32_t> ids) {
  return audit::evaluate(logits_.source(), ids, protocol_).model;
}

audit::Evaluation DenseModel::compare(const fs::path& file, std::span<const int32_t> ids,
                                      const Watch& watch) {
  return compare(model::make_model(DecodedWeights(file)), ids, watch);
}

audit::Evaluation DenseModel::compare(const Matrices& changed, std::span<const int32_t> ids,
                                      const Watch& watch) {
  return compare(model::make_model(DecodedWeights(path_, &changed)), ids, watch);
}

audit::Evaluation DenseModel::compare(const model::LanguageModel& subject,
                                      std::span<const int32_t> ids, const Watch& watch) {
  model::Session session(subject, protocol_.context, protocol_.threads);
  audit::PerplexityOptions options = protocol_;
  options.each = watch.each;
  options.progress = watch.progress;
  return audit::evaluate(audit::logits_of(session), ids, options, &logits_.source());
}

}  // namespace pith::bench
