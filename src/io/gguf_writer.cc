#include <array>
#include <unordered_set>

#include "pith/io/gguf_write.h"
#include "pith/io/text.h"

namespace pith::io {
namespace {

constexpr uint64_t kAlignment = 32;
// What llama.cpp reads.
constexpr size_t kMostName = 63, kMostDimensions = 4;

void check(const GgufMetadata& metadata, const std::vector<TensorInfo>& tensors) {
  std::unordered_set<std::string_view> keys;
  for (const auto& [key, value] : metadata) {
    if (!keys.insert(key).second) {
      fail(ErrorKind::kUsage, "gguf: the key {} stands twice", in_quotes(key));
    }
  }
  for (const TensorInfo& tensor : tensors) {
    if (tensor.name.size() > kMostName) {
      fail(ErrorKind::kUsage, "gguf: the name {} has {} bytes, more than {}",
           in_quotes(tensor.name), tensor.name.size(), kMostName);
    }
    if (tensor.shape.size() > kMostDimensions) {
      fail(ErrorKind::kUsage, "gguf: tensor {} has {} dimensions, more than {}",
           in_quotes(tensor.name), tensor.shape.size(), kMostDimensions);
    }
  }
}

// The header, of what was checked.
Bytes checked_header(const GgufMetadata& metadata, const std::vector<TensorInfo>& tensors) {
  check(metadata, tensors);
  return gguf_header(metadata, tensors);
}

}  // namespace

GgufWriter::GgufWriter(const std::filesystem::path& path, bool overwrite,
                       const GgufMetadata& metadata, std::vector<TensorInfo> tensors)
    : tensors_(std::move(tensors)), file_(path, overwrite) {
  file_.write(checked_header(metadata, tensors_));
  if (!tensors_.empty()) missing_ = *tensor_bytes(tensors_[0].dtype, tensors_[0].shape);
  go_on();
}

// To the next tensor that has data missing.
void GgufWriter::go_on() {
  static constexpr std::array<uint8_t, kAlignment> kZeros{};
  while (missing_ == 0 && current_ < tensors_.size()) {
    file_.write(ByteView(kZeros).first((kAlignment - file_.size() % kAlignment) % kAlignment));
    if (++current_ == tensors_.size()) return;
    missing_ = *tensor_bytes(tensors_[current_].dtype, tensors_[current_].shape);
  }
}

void GgufWriter::write(ByteView piece) {
  if (piece.empty()) return;
  if (piece.size() > missing_) {
    fail(ErrorKind::kUsage, "gguf: {} bytes too many for {}", piece.size() - missing_,
         current_ < tensors_.size() ? "tensor " + in_quotes(tensors_[current_].name) : "the file");
  }
  file_.write(piece);
  missing_ -= piece.size();
  go_on();
}

void GgufWriter::commit() {
  if (current_ < tensors_.size()) {
    fail(ErrorKind::kUsage, "gguf: {} bytes are missing of tensor {}", missing_,
         in_quotes(tensors_[current_].name));
  }
  file_.commit();
}

}  // namespace pith::io
