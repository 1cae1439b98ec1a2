#include "table.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "message.h"

namespace pith::command {
namespace {

// Columns on a terminal: UTF-8 continuation bytes take none.
size_t width_of(const std::string& s) {
  return static_cast<size_t>(std::ranges::count_if(
      s, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

Table::Table(const std::vector<std::string>& headers) {
  for (const std::string& header : headers) {
    right_.push_back(header.starts_with('>'));
    headers_.push_back(right_.back() ? header.substr(1) : header);
  }
}

void Table::row(std::vector<std::string> cells) {
  cells.resize(headers_.size());
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::text(int indent) const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < headers_.size(); ++i) {
    widths.push_back(width_of(headers_[i]));
    for (const auto& cells : rows_) widths[i] = std::max(widths[i], width_of(cells[i]));
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string s(static_cast<size_t>(indent), ' ');
    for (size_t i = 0; i < cells.size(); ++i) {
      const std::string space(widths[i] - width_of(cells[i]), ' ');
      if (i > 0) s += "  ";
      s += right_[i] ? space + cells[i] : cells[i] + space;
    }
    s.erase(s.find_last_not_of(' ') + 1);
    out += s + "\n";
  };
  line(headers_);
  for (const auto& cells : rows_) line(cells);
  return out;
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  if (shape.empty()) return "scalar";
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace pith::command
