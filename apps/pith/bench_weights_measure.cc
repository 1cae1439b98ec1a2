#include "bench_weights_measure.h"

#include <fstream>

#include "harm_report.h"
#include "pith/base/file.h"
#include "pith/base/hash.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

audit::Measured measured_of(const Json& j) {
  audit::Measured m;
  m.mean = j.at("mean");
  if (j.contains("interval")) m.interval = {j.at("interval").at(0), j.at("interval").at(1)};
  return m;
}

}  // namespace

WeightMeasurer::WeightMeasurer(const fs::path& model, std::vector<TextSample> texts,
                               uint64_t windows, const fs::path& folder)
    : kept_(folder / "figures.json"), texts_(std::move(texts)), dense_(model, windows) {
  results_ = Json::object();
  if (fs::exists(kept_)) {
    std::ifstream in(kept_);
    results_ = Json::parse(in, nullptr, false);
    if (!results_.is_object()) results_ = Json::object();
  }
  model_hash_ = hash_of(model / "model.safetensors");
  for (const TextSample& t : texts_) {
    ids_.push_back(dense_.ids(t.text));
    text_hashes_.push_back(hash128(as_bytes(t.text)).hex());
    reference_.push_back(dense_.loss(ids_.back()));
  }
}

std::string WeightMeasurer::hash_of(const fs::path& file) {
  const MappedFile mapped(file);
  return hash128(mapped.bytes()).hex();
}

std::string WeightMeasurer::key(const std::string& hash, size_t text) const {
  return fmt::format("{} {} {} {}", hash, model_hash_, text_hashes_[text], dense_.windows());
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
  results_[key(hash, text)] = {{"kl", command::mean_json(f.kl)},
                               {"same_best", command::mean_json(f.same_best)},
                               {"loss", f.loss},
                               {"perplexity", f.perplexity},
                               {"perplexity_error", f.perplexity_error}};
  write_file(kept_, as_bytes(results_.dump(1)), true);
}

WeightFigures WeightMeasurer::measure_now(const fs::path& file, size_t text) {
  const audit::Evaluation e = dense_.compare(file, ids_[text]);
  return {e.divergence->kl, e.divergence->same_best, e.model.loss.mean, e.model.perplexity(),
          e.model.perplexity_error().value_or(0)};
}

}  // namespace pith::bench
