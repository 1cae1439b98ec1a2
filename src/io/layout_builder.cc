#include "layout_builder.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "pith/io/text.h"

namespace pith::io {
namespace {

// Distinct reasons that are written out; the texts of more come from a hostile file.
constexpr size_t kMaxReasons = 64;

}  // namespace

LayoutBuilder::LayoutBuilder(std::string format, uint64_t file_size, Broken broken)
    : file_size_(file_size), broken_(broken) {
  layout_.format = std::move(format);
}

void LayoutBuilder::add(TensorRegion region) {
  const auto size = tensor_bytes(region.dtype, region.shape);
  if (!size) return leave(region.name, "its shape does not give a whole number of bytes");
  if (region.offset > file_size_ || *size > file_size_ - region.offset) {
    return leave(region.name, "it reaches past the end of the file");
  }
  region.size = *size;
  layout_.tensors.push_back(std::move(region));
}

void LayoutBuilder::add(TensorRegion region, uint64_t written) {
  const auto size = tensor_bytes(region.dtype, region.shape);
  if (size && *size != written) return leave(region.name, "its size does not match its shape");
  add(std::move(region));
}

void LayoutBuilder::metadata(std::string_view key, std::string_view value) {
  layout_.metadata.emplace_back(utf8(key), utf8(value));
}

void LayoutBuilder::note(std::string reason, std::string_view name) {
  auto at = reason_index_.find(reason);
  if (at == reason_index_.end()) {
    at = reason_index_.emplace(reason, reasons_.size()).first;
    if (reasons_.size() < kMaxReasons)
      reasons_.push_back({std::move(reason), std::string(name), 0});
  }
  if (at->second < reasons_.size()) ++reasons_[at->second].count;
}

void LayoutBuilder::leave(std::string_view name, std::string reason) {
  if (broken_ == Broken::kRefuse) fail(ErrorKind::kData, "tensor {}: {}", in_quotes(name), reason);
  note(reason + "; it stays plain bytes", name);
}

Layout LayoutBuilder::finish() {
  for (TensorRegion& region : layout_.tensors) region.name = utf8(region.name);
  sort_and_separate();
  make_names_unique();
  write_notes();
  return std::move(layout_);
}

void LayoutBuilder::sort_and_separate() {
  auto& tensors = layout_.tensors;
  std::ranges::stable_sort(tensors, {},
                           [](const TensorRegion& r) { return std::tuple(r.offset, r.size); });
  uint64_t end = 0;
  const auto overlaps = [&](const TensorRegion& region) {
    if (region.offset < end) {
      leave(region.name, "it overlaps another tensor");
      return true;
    }
    end = region.offset + region.size;
    return false;
  };
  // Not std::erase_if, which does not promise to visit in order.
  size_t kept = 0;
  for (size_t k = 0; k < tensors.size(); ++k) {
    if (overlaps(tensors[k])) continue;
    if (kept != k) tensors[kept] = std::move(tensors[k]);
    ++kept;
  }
  tensors.resize(kept);
}

void LayoutBuilder::make_names_unique() {
  std::unordered_set<std::string> used;
  std::unordered_map<std::string, uint64_t> next;  // so that many equal names cost linear time
  for (TensorRegion& region : layout_.tensors) {
    if (used.insert(region.name).second) continue;
    if (broken_ == Broken::kRefuse) {
      fail(ErrorKind::kData, "two tensors are named {}", in_quotes(region.name));
    }
    note("the name stands twice; a number was appended", region.name);
    uint64_t& number = next.try_emplace(region.name, 1).first->second;
    std::string name;
    do {
      name = fmt::format("{}#{}", region.name, ++number);
    } while (!used.insert(name).second);
    region.name = std::move(name);
  }
}

void LayoutBuilder::write_notes() {
  for (const Reason& reason : reasons_) {
    if (reason.first.empty()) {
      layout_.notes.push_back(reason.text);
    } else if (reason.count == 1) {
      layout_.notes.push_back(fmt::format("{}: {}", in_quotes(reason.first), reason.text));
    } else {
      layout_.notes.push_back(fmt::format("{} and {} more: {}", in_quotes(reason.first),
                                          reason.count - 1, reason.text));
    }
  }
  if (reason_index_.size() > reasons_.size())
    layout_.notes.push_back("further notes were left out");
}

Companion settled(const Companion& companion, LayoutBuilder& naming) {
  Layout layout = layout_of(companion, UINT64_MAX);
  for (const std::string& text : layout.notes) {
    naming.note(fmt::format("{}: {}", companion.path.string(), text));
  }
  return {companion.path, std::move(layout.tensors)};
}

}  // namespace pith::io
