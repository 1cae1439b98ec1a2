// The tensors of mapped files, by name.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "pith/base/file.h"
#include "pith/form/form.h"
#include "pith/io/layout.h"

namespace pith::model {

class MappedTensors {
 public:
  struct Tensor {
    std::shared_ptr<const MappedFile> file;
    io::TensorRegion region;
  };

  // Maps a file of this format ("safetensors", "gguf"). Throws ErrorKind::kIo, and kData for a file
  // that is damaged or of another format, or a tensor that an earlier file has.
  std::shared_ptr<const MappedFile> add(const std::filesystem::path& path, std::string_view format);

  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
  const Tensor* find(std::string_view name) const;
  uint64_t bytes() const { return bytes_; }

 private:
  std::map<std::string, Tensor, std::less<>> tensors_;
  uint64_t bytes_ = 0;
};

// The tensor as a form over the mapped bytes: its last dimension are the columns. With `slices` the
// outermost dimension has that many entries, of which this is one. Throws ErrorKind::kData naming
// the tensor.
form::FormPtr form_of(const MappedTensors::Tensor& tensor, uint64_t slice = 0, uint64_t slices = 1);

}  // namespace pith::model
