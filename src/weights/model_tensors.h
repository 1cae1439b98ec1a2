// Which tensors of an archive's inputs are matrices of a model that are to be fitted, and what the
// archive takes beside them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
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
  // Throws ErrorKind::kUsage where rules leave nothing to fit.
  ModelTensors(const model::LanguageModel& model, std::vector<archive::Input> inputs,
               const std::vector<archive::FormRule>& rules, int threads);
  // The whole input is of this size, whatever there is.
  void count_as(uint64_t weights, uint64_t bytes) {
    weights_ = weights;
    input_bytes_ = bytes;
  }

  // What is to be written: GGUF files with elements (f16) in place of the blocks of what is fitted.
  const std::vector<archive::Input>& inputs() const { return inputs_; }
  bool fits(std::string_view name) const { return places_.contains(name); }
  // Of a tensor that is fitted.
  uint64_t elements(std::string_view name) const { return places_.find(name)->second.elements; }
  uint64_t weights() const { return weights_; }          // elements of floats and of blocks of them
  uint64_t input_bytes() const { return input_bytes_; }  // of the whole input
  uint64_t overhead() const { return overhead_; }        // bytes of the archive beside the matrices

  // For WriteOptions::fitted.
  using FormOf =
      std::function<form::FormPtr(std::string_view path, const io::TensorRegion& region)>;
  FormOf stored_as(FormsByName forms) const;

 private:
  // A tensor of a file in the archive.
  struct Place {
    std::string path, tensor;
    auto operator<=>(const Place&) const = default;
  };
  struct Weight {
    Place place;
    uint64_t elements = 0;
  };
  using Matrices = std::map<std::string, form::Shape, std::less<>>;
  void add(const archive::Input& input, const Matrices& matrices, const archive::FormRules& rules,
           const model::DecoderConfig& config);
  // The weights that a tensor holds, where they are to be fitted and no other file has them.
  const std::vector<std::string>* find(std::string_view path, std::string_view tensor) const;
  void measure_overhead(const std::vector<archive::FormRule>& rules, int threads);

  std::vector<archive::Input> inputs_;
  std::map<Place, std::vector<std::string>> tensors_;
  std::map<std::string, Weight, std::less<>> places_;
  uint64_t overhead_ = 0, weights_ = 0, input_bytes_ = 0;
};

}  // namespace pith::weights
