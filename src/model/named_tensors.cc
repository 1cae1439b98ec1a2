#include "named_tensors.h"

#include "expert_rows.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/compose.h"
#include "pith/form/tensor.h"
#include "pith/io/text.h"

namespace pith::model {

std::shared_ptr<const MappedFile> NamedTensors::add(const std::filesystem::path& path,
                                                    std::string_view format) {
  auto file = std::make_shared<const MappedFile>(path);
  io::Layout layout = io::describe(file->bytes(), path.filename()).layout;
  if (layout.format != format || !layout.notes.empty()) {
    fail(ErrorKind::kData, "{}: {}", path.string(),
         layout.notes.empty() ? fmt::format("it is {}, not {}", layout.format, format)
                              : layout.notes.front());
  }
  for (io::TensorRegion& region : layout.tensors) {
    add({path.string(), std::move(region), file, nullptr, 0});
  }
  files_.push_back(file);
  return file;
}

std::function<void()> NamedTensors::releaser() const {
  return [files = files_] {
    for (const auto& file : files) file->release(0, file->bytes().size());
  };
}

void NamedTensors::add(std::shared_ptr<const archive::Archive> archive, size_t file,
                       const std::string& where) {
  const archive::FileInfo& info = archive->files()[file];
  for (size_t i = info.first_tensor; i < info.first_tensor + info.tensor_count; ++i) {
    add({where, archive->tensors()[i].region, nullptr, archive, i});
  }
}

void NamedTensors::add(Tensor tensor) {
  std::string name = tensor.region.name, where = tensor.where;
  const auto& form = tensor.archive ? tensor.archive->tensors()[tensor.index].form
                                    : std::optional<archive::FormInfo>();
  bytes_ = checked_add(bytes_, form ? form->bytes : tensor.region.size);
  if (tensor.archive && !form) decoded_bytes_ += tensor.region.size;
  if (!tensors_.try_emplace(name, std::move(tensor)).second) {
    fail(ErrorKind::kData, "{}: tensor {} is also in another file", where, io::in_quotes(name));
  }
}

const NamedTensors::Tensor* NamedTensors::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

namespace {

// Null where the archive holds the tensor losslessly.
form::FormPtr form_in_archive(const NamedTensors::Tensor& tensor, uint64_t slice, uint64_t slices) {
  if (slices == 1) return tensor.archive->form(tensor.index);
  form::FormPtr all = tensor.stacked.lock();
  if (!all) tensor.stacked = all = tensor.archive->form(tensor.index);
  if (!all) return nullptr;
  // Experts that were fitted one by one run as if they were alone.
  if (form::FormPtr alone = form::part_of_stack(*all, slice, slices)) return alone;
  const uint64_t rows = all->shape().rows / slices;
  if (rows * slices != all->shape().rows) {
    fail(ErrorKind::kData, "it does not hold {} experts", slices);
  }
  return expert_rows(std::move(all), slice * rows, (slice + 1) * rows);
}

}  // namespace

form::FormPtr form_of(const NamedTensors::Tensor& tensor, uint64_t slice, uint64_t slices) {
  const io::TensorRegion& region = tensor.region;
  try {
    if (tensor.archive) {
      if (form::FormPtr form = form_in_archive(tensor, slice, slices)) return form;
    }
    if (region.big_endian) fail(ErrorKind::kData, "big-endian elements do not run");
    const std::vector<uint64_t>& shape = region.shape;
    const uint64_t cols = shape.empty() ? 1 : shape.back();
    uint64_t rows = 1;
    for (size_t k = 0; k + 1 < shape.size(); ++k) rows = checked_mul(rows, shape[k]);
    if (slices != 1 && (shape.size() < 2 || shape.front() != slices)) {
      fail(ErrorKind::kData, "it does not hold {} experts", slices);
    }
    const uint64_t size = region.size / slices;
    const auto bytes = [&] {
      if (tensor.file) {
        return Buffer(tensor.file->bytes().subspan(region.offset + slice * size, size),
                      tensor.file);
      }
      if (slices == 1) return Buffer(tensor.archive->read_tensor(tensor.index, thread_count(0)));
      Bytes part(size);
      tensor.archive->read_rows(tensor.index, slice, slice + 1, part);
      return Buffer(std::move(part));
    };
    return form::from_tensor(region.dtype, form::checked_shape(rows / slices, cols), bytes());
  } catch (const Error& error) {
    const std::string_view what = error.what();
    // Archives name the tensor themselves.
    if (what.starts_with(tensor.where)) throw;
    throw error.in(fmt::format("{}: tensor {}", tensor.where, io::in_quotes(region.name)));
  }
}

}  // namespace pith::model
