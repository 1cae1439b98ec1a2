// GGUF files whose blocks are seen as elements.
#include <algorithm>

#include "pith/archive/source.h"
#include "pith/base/float_elements.h"
#include "pith/form/tensor.h"
#include "pith/io/gguf_retype.h"

namespace pith::archive {
namespace {

constexpr DType kElement = DType::kF16;
// Elements that are decoded at a time, if a row is not longer.
constexpr uint64_t kTile = 64 << 10;

// Where a tensor lies in the file that is there and in the one that is shown.
struct Moved {
  io::TensorRegion was, is;
};

class ElementsSource final : public Source {
 public:
  ElementsSource(std::shared_ptr<Source> source, io::Layout layout, std::vector<Moved> tensors,
                 Bytes header)
      : source_(std::move(source)),
        layout_(std::move(layout)),
        tensors_(std::move(tensors)),
        header_(std::move(header)),
        size_(tensors_.back().is.offset + tensors_.back().is.size) {}

  io::Layout layout() override { return layout_; }
  std::optional<uint64_t> size() const override { return size_; }
  uint32_t mode() const override { return source_->mode(); }
  void finish() override { source_->finish(); }

  Buffer get(uint64_t offset, uint64_t n) override {
    const uint64_t end = offset >= size_ ? offset : offset + std::min(n, size_ - offset);
    Bytes out(end - offset);  // what lies between tensors is zero
    const auto copy = [&](uint64_t at, ByteView bytes) {
      std::ranges::copy(bytes, out.begin() + static_cast<ptrdiff_t>(at - offset));
    };
    if (offset < header_.size()) {
      copy(offset,
           ByteView(header_).first(std::min<uint64_t>(end, header_.size())).subspan(offset));
    }
    for (auto t = first_behind(offset); t != tensors_.end() && t->is.offset < end; ++t) {
      const uint64_t from = std::max(offset, t->is.offset);
      const uint64_t to = std::min(end, t->is.offset + t->is.size);
      if (from >= to) continue;
      const uint64_t skip = from - t->is.offset;
      const auto begin = out.begin() + static_cast<ptrdiff_t>(from - offset);
      if (t->was.dtype == t->is.dtype) {
        copy(from, source_->get(t->was.offset + skip, to - from).bytes);
      } else {
        decode(*t, skip, {begin, begin + static_cast<ptrdiff_t>(to - from)});
      }
    }
    return Buffer(std::move(out));
  }

 private:
  std::vector<Moved>::const_iterator first_behind(uint64_t offset) const {
    return std::ranges::partition_point(
        tensors_, [&](const Moved& t) { return t.is.offset + t.is.size <= offset; });
  }

  // The bytes of the tensor's elements from `skip` on.
  void decode(const Moved& t, uint64_t skip, MutableByteView out) {
    const form::Shape shape = matrix_shape(t.is);
    const uint64_t width = info(kElement).block_bytes, row = shape.cols * width;
    const uint64_t coded = t.was.size / shape.rows,
                   tile = std::max<uint64_t>(1, kTile / shape.cols);
    std::vector<float> floats;
    Bytes elements;
    while (!out.empty()) {
      const uint64_t first = skip / row, within = skip % row;
      const uint64_t rows = std::min({tile, (within + out.size() + row - 1) / row});
      const Buffer blocks = source_->get(t.was.offset + first * coded, rows * coded);
      floats.resize(rows * shape.cols);
      form::from_tensor(t.was.dtype, {rows, shape.cols}, blocks)->decode(0, rows, floats.data());
      elements.resize(rows * row);
      elements_from(floats, kElement, false, elements);
      const uint64_t done = std::min<uint64_t>(out.size(), elements.size() - within);
      std::ranges::copy(ByteView(elements).subspan(within, done), out.begin());
      out = out.subspan(done);
      skip += done;
    }
  }

  std::shared_ptr<Source> source_;
  io::Layout layout_;
  std::vector<Moved> tensors_;  // in the order in which they lie
  Bytes header_;
  uint64_t size_;
};

}  // namespace

std::shared_ptr<Source> with_elements(
    std::shared_ptr<Source> source,
    const std::function<bool(const io::TensorRegion& tensor)>& wanted) {
  io::Layout layout = source->layout();
  // Tensors of unknown types cannot be moved.
  if (layout.format != "gguf" || !layout.notes.empty() || layout.tensors.empty()) return source;
  std::vector<Moved> moved;
  bool any = false;
  for (io::TensorRegion& tensor : layout.tensors) {
    if (tensor.big_endian) return source;
    moved.push_back({tensor, {}});
    const bool blocks = info(tensor.dtype).kind == NumberKind::kBlock && tensor.size > 0;
    if (!blocks || !form::is_tensor_type(tensor.dtype) || !wanted(tensor)) continue;
    tensor.dtype = kElement;
    any = true;
  }
  if (!any) return source;
  const Buffer head = source->get(0, layout.tensors.front().offset);
  Bytes header = io::retype_gguf(head.bytes, layout.tensors);
  for (size_t i = 0; i < moved.size(); ++i) moved[i].is = layout.tensors[i];
  return std::make_shared<ElementsSource>(std::move(source), std::move(layout), std::move(moved),
                                          std::move(header));
}

}  // namespace pith::archive
