// Aligned tables on standard output.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pith::command {

class Table {
 public:
  // A header that starts with '>' is of a column aligned to the right.
  explicit Table(const std::vector<std::string>& headers);

  void row(std::vector<std::string> cells);
  // As text, each line ended by a line feed and indented by `indent` spaces.
  std::string text(int indent = 0) const;
  bool empty() const { return rows_.empty(); }

 private:
  std::vector<bool> right_;
  std::vector<std::string> headers_;
  std::vector<std::vector<std::string>> rows_;
};

// "[4096, 256]"; "scalar" for no dimension.
std::string shape_text(const std::vector<uint64_t>& shape);

}  // namespace pith::command
