// Which tensors of an archive's inputs are matrices of a model that are to be fitted, and what the
// archive takes beside them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/archive/writer.h"
#include "pith/form/form.h"
#include "pith/model/language_model.h"

namespace pith::weights {

inline constexpr std::string_view kEmbeddingName = "model.embed_tokens.weight";

using FormsByName = std::map<std::string, form::FormPtr, std::less<>>;

class ModelTensors {
 public:
  // Throws ErrorKind::kUsage where rules leave nothing to fit. Inputs outlive it.
  ModelTensors(const model::LanguageModel& model, std::span<const archive::Input> inputs,
               const std::vector<archive::FormRule>& rules, int threads);

  bool fits(std::string_view name) const { return places_.contains(name); }
  // Of a tensor that is fitted.
  uint64_t elements(std::string_view name) const { return places_.find(name)->second.elements; }
  uint64_t weights() const { return weights_; }          // elements of all tensors of floats
  uint64_t input_bytes() const { return input_bytes_; }  // of the whole input
  uint64_t overhead() const { return overhead_; }        // bytes of the archive beside the matrices

  // For WriteOptions::fitted.
  using FormOf =
      std::function<form::FormPtr(std::string_view path, const io::TensorRegion& region)>;
  FormOf stored_as(FormsByName forms) const;

 private:
  struct Place {
    std::string path;  // of the file in the archive
    uint64_t elements = 0;
  };
  const Place* find(std::string_view path, std::string_view name) const;
  void measure_overhead(std::span<const archive::Input> inputs,
                        const std::vector<archive::FormRule>& rules, int threads);

  std::map<std::string, Place, std::less<>> places_;
  uint64_t overhead_ = 0, weights_ = 0, input_bytes_ = 0;
};

}  // namespace pith::weights
