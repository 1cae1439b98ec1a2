// What compressed files of one model lost on texts, measured once for the same bytes.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bench_dense_model.h"
#include "bench_report.h"

namespace pith::bench {

struct TextSample {
  std::string name, text;
};

struct WeightFigures {
  audit::Measured kl, same_best;  // of the file's predictions from the model's
  double loss = 0, perplexity = 0, perplexity_error = 0;
};

// Files beside the model as it was (bench_dense_model.h).
class WeightMeasurer {
 public:
  // Results are kept in `folder`/figures.json, by the hashes of all that they depend on.
  WeightMeasurer(const std::filesystem::path& model, std::vector<TextSample> texts,
                 uint64_t windows, const std::filesystem::path& folder);

  const std::vector<TextSample>& texts() const { return texts_; }
  uint64_t weights() const { return dense_.weights(); }  // of the model
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
  DenseModel dense_;
  std::vector<audit::Loss> reference_;
};

}  // namespace pith::bench
