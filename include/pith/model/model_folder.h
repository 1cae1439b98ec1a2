// The small files of a model (configuration, tokenizer), from a folder or from wherever else they
// are kept together.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/bytes.h"

namespace pith::model {

class ModelFolder {
 public:
  virtual ~ModelFolder() = default;

  // For messages.
  virtual std::string where() const = 0;
  // Names of the files in it, ascending; not those of folders below.
  virtual std::vector<std::string> files() const = 0;
  // Nothing where there is no such file; throws ErrorKind::kLimit above max_bytes.
  virtual std::optional<Bytes> read(std::string_view name, uint64_t max_bytes) const = 0;

  bool has(std::string_view name) const;
};

class DiskFolder final : public ModelFolder {
 public:
  explicit DiskFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  std::string where() const override { return path_.string(); }
  std::vector<std::string> files() const override;
  std::optional<Bytes> read(std::string_view name, uint64_t max_bytes) const override;

 private:
  std::filesystem::path path_;
};

}  // namespace pith::model
