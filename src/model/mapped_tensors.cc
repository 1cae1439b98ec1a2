#include "mapped_tensors.h"

#include "pith/base/error.h"
#include "pith/form/tensor.h"
#include "pith/io/text.h"

namespace pith::model {

std::shared_ptr<const MappedFile> MappedTensors::add(const std::filesystem::path& path,
                                                     std::string_view format) {
  auto file = std::make_shared<const MappedFile>(path);
  io::Layout layout = io::describe(file->bytes(), path.filename()).layout;
  if (layout.format != format || !layout.notes.empty()) {
    fail(ErrorKind::kData, "{}: {}", path.string(),
         layout.notes.empty() ? fmt::format("it is {}, not {}", layout.format, format)
                              : layout.notes.front());
  }
  for (io::TensorRegion& region : layout.tensors) {
    std::string name = region.name;
    bytes_ = checked_add(bytes_, region.size);
    if (!tensors_.try_emplace(name, Tensor{file, std::move(region)}).second) {
      fail(ErrorKind::kData, "{}: tensor {} is also in another file", path.string(),
           io::in_quotes(name));
    }
  }
  return file;
}

const MappedTensors::Tensor* MappedTensors::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

form::FormPtr form_of(const MappedTensors::Tensor& tensor, uint64_t slice, uint64_t slices) {
  const io::TensorRegion& region = tensor.region;
  const auto place = [&] {
    return fmt::format("{}: tensor {}", tensor.file->path().string(), io::in_quotes(region.name));
  };
  try {
    if (region.big_endian) fail(ErrorKind::kData, "big-endian elements do not run");
    const std::vector<uint64_t>& shape = region.shape;
    const uint64_t cols = shape.empty() ? 1 : shape.back();
    uint64_t rows = 1;
    for (size_t k = 0; k + 1 < shape.size(); ++k) rows = checked_mul(rows, shape[k]);
    if (slices != 1 && (shape.size() < 2 || shape.front() != slices)) {
      fail(ErrorKind::kData, "it does not hold {} experts", slices);
    }
    const uint64_t size = region.size / slices;
    const ByteView bytes = tensor.file->bytes().subspan(region.offset + slice * size, size);
    return form::from_tensor(region.dtype, form::checked_shape(rows / slices, cols),
                             Buffer(bytes, tensor.file));
  } catch (const Error& error) {
    throw error.in(place());
  }
}

}  // namespace pith::model
