// The C interface: checks pointers, turns exceptions into codes, and otherwise only forwards.
#include "pith/c/pith.h"

#include <algorithm>
#include <new>
#include <string>

#include "frame.h"
#include "pith/archive/reader.h"

struct pith_archive {
  pith::archive::Archive archive;
};

namespace {

using pith::DType;
using pith::ErrorKind;
using pith::fail;

static_assert(PITH_F32 == static_cast<int>(DType::kF32) &&
              PITH_BF16 == static_cast<int>(DType::kBF16) &&
              PITH_C64 == static_cast<int>(DType::kC64) &&
              PITH_F6_E3M2 == static_cast<int>(DType::kF6E3M2) &&
              PITH_GGML + 2 == static_cast<int>(DType::kQ4_0));
static_assert(PITH_FAST == static_cast<int>(pith::lossless::Level::kFast) &&
              PITH_MAX == static_cast<int>(pith::lossless::Level::kMax));

thread_local std::string last_error;

pith_status status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kData:
      return PITH_ERROR_DATA;
    case ErrorKind::kIo:
      return PITH_ERROR_IO;
    case ErrorKind::kLimit:
      return PITH_ERROR_LIMIT;
    case ErrorKind::kUsage:
      return PITH_ERROR_USAGE;
    case ErrorKind::kBase:
      return PITH_ERROR_BASE;
  }
  return PITH_ERROR_INTERNAL;
}

// The text may itself not fit into memory any more.
pith_status failed(pith_status status, const char* text) noexcept {
  try {
    last_error = text;
  } catch (...) {
    last_error.clear();
  }
  return status;
}

template <class Body>
pith_status guarded(Body&& body) noexcept {
  try {
    body();
    return PITH_OK;
  } catch (const pith::Error& e) {
    return failed(status_of(e.kind()), e.what());
  } catch (const std::bad_alloc&) {
    return failed(PITH_ERROR_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    return failed(PITH_ERROR_INTERNAL, e.what());
  } catch (...) {
    return failed(PITH_ERROR_INTERNAL, "unknown exception");
  }
}

void need(const void* pointer, const char* what) {
  if (!pointer) fail(ErrorKind::kUsage, "{} is null", what);
}

pith::ByteView view(const void* data, size_t size, const char* what) {
  if (size > 0) need(data, what);
  return {static_cast<const uint8_t*>(data), size};
}

pith::MutableByteView writable(void* data, size_t size, const char* what) {
  if (size > 0) need(data, what);
  return {static_cast<uint8_t*>(data), size};
}

// What the caller's structure has, over the defaults of what it lacks.
template <class T>
T sized_copy(const T& from) {
  if (from.size < sizeof from.size || from.size > 4096) {
    fail(ErrorKind::kUsage, "a structure's size is not set; use its _INIT macro");
  }
  T to{};
  std::memcpy(&to, &from, std::min(from.size, sizeof to));
  return to;
}

pith::archive::OpenOptions open_options(const pith_open_options* options) {
  pith::archive::OpenOptions out;
  if (!options) return out;
  const pith_open_options given = sized_copy(*options);
  if (given.base_count > 0) need(given.bases, "bases");
  for (size_t b = 0; b < given.base_count; ++b) {
    need(given.bases[b], "a base");
    out.bases.emplace_back(given.bases[b]);
  }
  if (given.memory_limit > 0) out.memory_limit = given.memory_limit;
  return out;
}

const pith::archive::Archive& opened(const pith_archive* archive) {
  need(archive, "archive");
  return archive->archive;
}

void check_index(const pith::archive::Archive& archive, size_t index) {
  if (index < archive.tensors().size()) return;
  fail(ErrorKind::kUsage, "{}: there is no tensor {}, it has {}", archive.name(), index,
       archive.tensors().size());
}

}  // namespace

const char* pith_version(void) { return PITH_VERSION_TEXT; }

const char* pith_last_error(void) { return last_error.c_str(); }

pith_status pith_open(const char* path, const pith_open_options* options, pith_archive** archive) {
  return guarded([&] {
    need(archive, "archive");
    *archive = nullptr;
    need(path, "path");
    *archive = new pith_archive{pith::archive::Archive::open(path, open_options(options))};
  });
}

pith_status pith_open_memory(const void* data, size_t size, const pith_open_options* options,
                             pith_archive** archive) {
  return guarded([&] {
    need(archive, "archive");
    *archive = nullptr;
    *archive = new pith_archive{
        pith::archive::Archive::open_memory(view(data, size, "data"), open_options(options))};
  });
}

void pith_close(pith_archive* archive) { delete archive; }

size_t pith_tensor_count(const pith_archive* archive) {
  return archive ? archive->archive.tensors().size() : 0;
}

pith_status pith_tensor(const pith_archive* archive, size_t index, pith_tensor_info* info) {
  return guarded([&] {
    const auto& a = opened(archive);
    check_index(a, index);
    need(info, "info");
    sized_copy(*info);
    const auto& t = a.tensors()[index];
    const pith_tensor_info full = {info->size,
                                   t.region.name.c_str(),
                                   a.files()[t.file].path.c_str(),
                                   pith::info(t.region.dtype).name.data(),
                                   static_cast<int32_t>(t.region.dtype),
                                   t.region.big_endian ? 1 : 0,
                                   t.region.shape.data(),
                                   t.region.shape.size(),
                                   t.region.size,
                                   a.row_bytes(index)};
    std::memcpy(info, &full, std::min(info->size, sizeof full));
  });
}

pith_status pith_find(const pith_archive* archive, const char* name, size_t* index) {
  return guarded([&] {
    const auto& a = opened(archive);
    need(name, "name");
    need(index, "index");
    *index = a.find(name);
  });
}

pith_status pith_read(const pith_archive* archive, size_t index, void* buffer, size_t buffer_size,
                      int threads) {
  return guarded([&] {
    const auto& a = opened(archive);
    check_index(a, index);
    a.read_tensor(index, writable(buffer, buffer_size, "buffer"), threads);
  });
}

pith_status pith_read_rows(const pith_archive* archive, size_t index, uint64_t first, uint64_t last,
                           void* buffer, size_t buffer_size) {
  return guarded([&] {
    const auto& a = opened(archive);
    check_index(a, index);
    a.read_rows(index, first, last, writable(buffer, buffer_size, "buffer"));
  });
}

size_t pith_compress_bound(size_t size) {
  try {
    const uint64_t bound = pith::frame::bound(size);
    return bound <= SIZE_MAX ? static_cast<size_t>(bound) : 0;
  } catch (...) {
    return 0;
  }
}

pith_status pith_compress(const void* data, size_t size, int32_t dtype, int32_t level, int threads,
                          void* frame, size_t capacity, size_t* written) {
  return guarded([&] {
    const auto raw = view(data, size, "data");
    const auto out = writable(frame, capacity, "frame");
    need(written, "written");
    if (dtype < 0 || dtype > 255 || !pith::find_dtype(static_cast<uint8_t>(dtype))) {
      fail(ErrorKind::kUsage, "{} is no dtype", dtype);
    }
    if (level < PITH_FAST || level > PITH_MAX) fail(ErrorKind::kUsage, "{} is no level", level);
    const pith::Bytes coded = pith::frame::encode(
        raw, static_cast<DType>(dtype), static_cast<pith::lossless::Level>(level), threads);
    if (coded.size() > out.size()) {
      fail(ErrorKind::kLimit, "the frame has {} bytes, there is room for {}", coded.size(),
           out.size());
    }
    std::ranges::copy(coded, out.begin());
    *written = coded.size();
  });
}

pith_status pith_decompressed_size(const void* frame, size_t frame_size, uint64_t* size) {
  return guarded([&] {
    need(size, "size");
    *size = pith::frame::raw_size(view(frame, frame_size, "frame"));
  });
}

pith_status pith_decompress(const void* frame, size_t frame_size, void* data, size_t size,
                            int threads) {
  return guarded([&] {
    pith::frame::decode(view(frame, frame_size, "frame"), writable(data, size, "data"), threads);
  });
}
