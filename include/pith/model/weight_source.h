// Where the weights of a decoder come from: a folder of Hugging Face, a GGUF file, an archive.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/form/form.h"
#include "pith/model/config.h"
#include "pith/model/tokenizer.h"

namespace pith::model {

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  virtual const DecoderConfig& config() const = 0;
  // For messages: the file or folder.
  virtual std::string where() const = 0;
  // Nothing where there is none. Throws where there is one that cannot be read.
  virtual std::optional<Tokenizer> tokenizer() const = 0;
  // Names of Hugging Face (tensor_names.h), in the order of the source.
  virtual std::vector<std::string> names() const = 0;
  // The bytes that all tensors take, known without reading them.
  virtual uint64_t bytes() const = 0;
  // Of these, what form() takes memory of its own for: tensors that an archive holds losslessly.
  virtual uint64_t decoded_bytes() const { return 0; }
  // Lets go of the memory of what was read from mapped files, which is read again when it is asked
  // for: where a model is larger than memory, or should not seem to fill it.
  virtual std::function<void()> releaser() const {
    return [] {};
  }
  // Null where there is no tensor of that name. Throws ErrorKind::kData, naming the tensor, where
  // it cannot be used. What it gives shares the source's memory and keeps it alive.
  virtual form::FormPtr form(std::string_view name) const = 0;
};

// Whether it is a file that begins as such do.
bool is_gguf(const std::filesystem::path& path);

// Of a path: a folder with config.json and safetensors, a .safetensors file in such a folder, a
// GGUF file. Files are mapped, not read. Throws ErrorKind::kIo or kData.
std::unique_ptr<WeightSource> open_weights(const std::filesystem::path& path);

}  // namespace pith::model
