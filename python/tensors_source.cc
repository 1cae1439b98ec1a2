#include "tensors_source.h"

#include <algorithm>

#include "pith/base/dtype.h"

namespace pith::python {
namespace {

namespace py = pybind11;

constexpr uint64_t kPiece = uint64_t{8} << 20;

std::vector<io::TensorInfo> tensor_infos(const std::vector<TensorArgument>& arguments) {
  std::vector<io::TensorInfo> out;
  for (const auto& [name, dtype, shape, data] : arguments) {
    const DTypeInfo* known = find_dtype(dtype);
    if (!known) fail(ErrorKind::kUsage, "{}: '{}' is no element type", name, dtype);
    out.push_back({name, known->dtype, shape});
  }
  return out;
}

TensorsSource::Part part_of(const py::object& data, std::vector<Buffer>& buffers) {
  TensorsSource::Part part;
  if (py::isinstance<py::tuple>(data)) {
    const auto pair = data.cast<std::pair<std::shared_ptr<archive::Archive>, size_t>>();
    const archive::TensorInfo& tensor = pair.first->tensors().at(pair.second);
    part.archive = pair.first;
    part.file = tensor.file;
    part.tensor = pair.second;
    part.offset = tensor.region.offset;
    part.size = tensor.region.size;
  } else {
    part.bytes = buffers.emplace_back(data).bytes();
    part.size = part.bytes.size();
  }
  return part;
}

}  // namespace

TensorsSource::TensorsSource(io::Layout layout, Bytes header, std::vector<Part> parts,
                             std::vector<Buffer> buffers)
    : layout_(std::move(layout)), header_(std::move(header)), buffers_(std::move(buffers)) {
  Part head;
  head.bytes = header_;
  head.size = header_.size();
  parts_.push_back(head);
  size_ = head.size;
  for (Part& part : parts) {
    if (part.size == 0) continue;
    part.begin = size_;
    size_ += part.size;
    parts_.push_back(std::move(part));
  }
}

void TensorsSource::copy(const Part& part, uint64_t from, MutableByteView out) const {
  if (part.archive) {
    part.archive->read(part.file, part.offset + from, out);
  } else {
    std::ranges::copy(part.bytes.subspan(from, out.size()), out.begin());
  }
}

pith::Buffer TensorsSource::get(uint64_t offset, uint64_t n) {
  if (offset >= size_ || n == 0) return {};
  n = std::min(n, size_ - offset);
  auto part = std::ranges::upper_bound(parts_, offset, {}, &Part::begin) - 1;
  if (!part->archive && offset + n <= part->begin + part->size) {
    return {part->bytes.subspan(offset - part->begin, n), {}};
  }
  auto joined = std::make_shared<Bytes>(n);
  for (uint64_t at = 0; at < n; ++part) {
    const uint64_t from = offset + at - part->begin;
    const uint64_t count = std::min(n - at, part->size - from);
    copy(*part, from, MutableByteView(*joined).subspan(at, count));
    at += count;
  }
  return {*joined, joined};
}

std::optional<archive::StoredForm> TensorsSource::form(const io::TensorRegion& tensor) {
  const auto part = std::ranges::lower_bound(parts_, tensor.offset, {}, &Part::begin);
  const bool found = part != parts_.end() && part->archive && part->begin == tensor.offset &&
                     part->size == tensor.size;
  if (!found) return std::nullopt;
  const io::TensorRegion& there = part->archive->tensors()[part->tensor].region;
  if (there.dtype != tensor.dtype || there.shape != tensor.shape) return std::nullopt;
  return archive::archive_source(*part->archive, part->file)->form(there);
}

bool TensorsSource::has_forms() const {
  return std::ranges::any_of(parts_, [](const Part& part) {
    return part.archive && part.archive->tensors()[part.tensor].form;
  });
}

void TensorsSource::write(const std::function<void(ByteView)>& sink) {
  for (uint64_t at = 0; at < size_;) {
    const pith::Buffer piece = get(at, kPiece);
    sink(piece.bytes);
    at += piece.bytes.size();
  }
}

std::shared_ptr<TensorsSource> tensors_source(const std::vector<TensorArgument>& arguments,
                                              const io::Metadata& metadata) {
  const std::vector<io::TensorInfo> tensors = tensor_infos(arguments);
  Bytes header = io::safetensors_header(tensors, metadata);
  io::Layout layout;
  layout.format = "safetensors";
  layout.metadata = metadata;
  std::vector<TensorsSource::Part> parts;
  std::vector<Buffer> buffers;
  uint64_t at = header.size();
  for (const size_t t : io::safetensors_order(tensors)) {
    const io::TensorInfo& tensor = tensors[t];
    parts.push_back(part_of(std::get<3>(arguments[t]), buffers));
    const uint64_t size = parts.back().size;
    if (tensor_bytes(tensor.dtype, tensor.shape) != size) {
      fail(ErrorKind::kUsage, "{}: {} bytes are not what its type and shape need", tensor.name,
           size);
    }
    layout.tensors.push_back({tensor.name, tensor.dtype, tensor.shape, at, size, false});
    at += size;
  }
  return std::make_shared<TensorsSource>(std::move(layout), std::move(header), std::move(parts),
                                         std::move(buffers));
}

}  // namespace pith::python
