// What compressed files of one model lost on texts, measured once for the same bytes.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bench_report.h"
#include "pith/audit/perplexity.h"
#include "pith/model/language_model.h"
#include "pith/model/session.h"

namespace pith::bench {

struct TextSample {
  std::string name, text;
};

// What the uncompressed model predicts, kept in memory once it was asked for: every file is
// compared with it.
class KeptLogits {
 public:
  KeptLogits(const model::LanguageModel& model, uint64_t context, int threads);
  const audit::LogitSource& source() const { return source_; }

 private:
  model::Session session_;
  audit::LogitSource model_, source_;
  std::map<std::vector<int32_t>, form::Matrix> kept_;  // by the ids of whole windows
  uint64_t bytes_ = 0;
};

struct WeightFigures {
  audit::Measured kl, same_best;  // of the file's predictions from the model's
  double loss = 0, perplexity = 0, perplexity_error = 0;
};

// The first of `windows` windows of 512 predictions count, with bos in front of each. Every matrix
// of a file is decoded to f32 first, so that all are multiplied in the same way and nothing but the
// weights makes a difference: programs that round activations lose a little more.
class WeightMeasurer {
 public:
  // Results are kept in `folder`/figures.json, by the hashes of all that they depend on.
  WeightMeasurer(const std::filesystem::path& model, std::vector<TextSample> texts,
                 uint64_t windows, const std::filesystem::path& folder);

  const std::vector<TextSample>& texts() const { return texts_; }
  uint64_t weights() const { return weights_; }  // of the model
  // Of a model without losses.
  const audit::Loss& reference(size_t text) const { return reference_[text]; }

  // By text. `decode` gives a file that Pith reads where it cannot read this one; it is asked only
  // when there are no results yet.
  template <class F>
  std::vector<WeightFigures> measure(const std::filesystem::path& file, const F& decode) {
    const std::string hash = hash_of(file);
    std::vector<WeightFigures> figures;
    std::optional<std::filesystem::path> readable;
    for (size_t t = 0; t < texts_.size(); ++t) {
      if (!known(hash, t)) {
        if (!readable) readable = decode();
        remember(hash, t, measure_now(*readable, t));
      }
      figures.push_back(recall(hash, t));
    }
    return figures;
  }

 private:
  static std::string hash_of(const std::filesystem::path& file);
  std::string key(const std::string& hash, size_t text) const;
  bool known(const std::string& hash, size_t text) const;
  WeightFigures recall(const std::string& hash, size_t text) const;
  void remember(const std::string& hash, size_t text, const WeightFigures& figures);
  WeightFigures measure_now(const std::filesystem::path& file, size_t text);

  std::filesystem::path kept_;
  Json results_;
  std::vector<TextSample> texts_;
  std::vector<std::vector<int32_t>> ids_;  // of the texts
  std::vector<std::string> text_hashes_;
  std::string model_hash_;
  uint64_t weights_ = 0;
  model::LanguageModel model_;
  audit::PerplexityOptions options_;
  KeptLogits logits_;
  std::vector<audit::Loss> reference_;
};

}  // namespace pith::bench
