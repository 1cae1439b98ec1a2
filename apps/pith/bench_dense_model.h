// A model as it was, and what compressed files of it say beside it.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/audit/perplexity.h"
#include "pith/model/language_model.h"
#include "pith/model/session.h"

namespace pith::bench {

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

// Who looks on while a file is compared.
struct Watch {
  std::function<void(const audit::ScoredToken&)> each = {};
  Progress progress = {};
};

// The first of `windows` windows of 512 predictions count, or of as many as the model was made for,
// with bos in front of each where texts begin with it. Every matrix of a file is decoded to f32
// first, so that all are multiplied in the same way and nothing but the weights makes a difference:
// programs that round activations lose a little more.
class DenseModel {
 public:
  using Matrices = std::map<std::string, form::Matrix, std::less<>>;

  DenseModel(const std::filesystem::path& path, uint64_t windows, int threads = 0);

  const model::LanguageModel& model() const { return model_; }
  uint64_t weights() const { return weights_; }
  uint64_t context() const { return protocol_.context; }
  uint64_t windows() const { return protocol_.max_windows; }

  // Of as much of a text as the windows may need.
  std::vector<int32_t> ids(std::string_view text) const;
  // The model alone.
  audit::Loss loss(std::span<const int32_t> ids);

  audit::Evaluation compare(const std::filesystem::path& file, std::span<const int32_t> ids,
                            const Watch& watch = {});
  // The model itself with other matrices under these names.
  audit::Evaluation compare(const Matrices& changed, std::span<const int32_t> ids,
                            const Watch& watch = {});
  // A model as it runs, its inputs rounded as its products want them.
  audit::Evaluation compare(const model::LanguageModel& subject, std::span<const int32_t> ids,
                            const Watch& watch = {});

 private:
  std::filesystem::path path_;
  uint64_t weights_;
  model::LanguageModel model_;
  audit::PerplexityOptions protocol_;
  KeptLogits logits_;
};

}  // namespace pith::bench
