// Several files that appear together: extracted into a hidden folder beside their place, which then
// takes its name in one step.
#pragma once

#include <filesystem>

namespace pith::command {

class StagedFolder {
 public:
  // Creates ".NAME.XXXXXXXX.part" beside `target`. Without `overwrite` an existing target is
  // refused, now and in commit(), unless it is an empty folder.
  StagedFolder(std::filesystem::path target, bool overwrite);
  ~StagedFolder();  // removes what was not committed
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::filesystem::path& path() const { return staging_; }
  // Moves path()/`inner` (path() itself for an empty one) to the target. An existing folder is
  // merged into, file by file, never through a symbolic link.
  void commit(const std::filesystem::path& inner = {});

 private:
  std::filesystem::path target_, staging_;
  bool overwrite_;
};

}  // namespace pith::command
