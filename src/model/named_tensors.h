// The tensors of mapped files and of files in archives, by name.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pith/archive/reader.h"
#include "pith/base/file.h"
#include "pith/form/form.h"
#include "pith/io/layout.h"

namespace pith::model {

class NamedTensors {
 public:
  struct Tensor {
    std::string where;  // the file, for messages
    io::TensorRegion region;
    // One of the two.
    std::shared_ptr<const MappedFile> file;
    std::shared_ptr<const archive::Archive> archive;
    size_t index = 0;  // in the archive
    // That of the whole tensor, while its slices use it. Not to be asked for by several threads.
    mutable std::weak_ptr<const form::Form> stacked = {};
  };

  // Maps a file of this format ("safetensors", "gguf"). Throws ErrorKind::kIo, and kData for a file
  // that is damaged or of another format, or a tensor that an earlier file has.
  std::shared_ptr<const MappedFile> add(const std::filesystem::path& path, std::string_view format);

  // Those of a file in an archive; `where` stands in messages.
  void add(std::shared_ptr<const archive::Archive> archive, size_t file, const std::string& where);

  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
  const Tensor* find(std::string_view name) const;
  uint64_t bytes() const { return bytes_; }
  // Of tensors that archives hold losslessly.
  uint64_t decoded_bytes() const { return decoded_bytes_; }
  // As WeightSource::releaser().
  std::function<void()> releaser() const;

 private:
  void add(Tensor tensor);

  std::map<std::string, Tensor, std::less<>> tensors_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  uint64_t bytes_ = 0, decoded_bytes_ = 0;
};

// The tensor as a form, over mapped bytes or, where an archive holds it losslessly, over bytes that
// are decoded now: its last dimension are the columns. With `slices` the outermost dimension has
// that many entries, of which this is one. Throws ErrorKind::kData naming
// the tensor.
form::FormPtr form_of(const NamedTensors::Tensor& tensor, uint64_t slice = 0, uint64_t slices = 1);

}  // namespace pith::model
