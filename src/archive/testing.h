// What the archive's tests share: a folder that goes away, generated files, sources with a layout.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "pith/archive/reader.h"
#include "pith/archive/recover.h"
#include "pith/archive/writer.h"
#include "pith/base/file.h"

namespace pith::archive::testing {

namespace fs = std::filesystem;

class TempDir {
 public:
  TempDir() {
    std::string name = (fs::temp_directory_path() / "pith-archive-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TempDir() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  fs::path operator/(const fs::path& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

inline Bytes noise(uint64_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes out(size);
  for (uint64_t i = 0; i < size; i += 8) {
    const uint64_t v = random();
    std::memcpy(&out[i], &v, std::min<uint64_t>(8, size - i));
  }
  return out;
}

// Bytes that look like bf16 weights: half of them are noise.
inline Bytes weights(uint64_t size, uint64_t seed) {
  Bytes out = noise(size, seed);
  for (uint64_t i = 1; i < size; i += 2) out[i] = static_cast<uint8_t>(0x3C + out[i] % 3);
  return out;
}

// A file put together from gaps and tensors.
class Model {
 public:
  Model& gap(ByteView bytes) {
    data.insert(data.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Model& tensor(std::string name, DType dtype, std::vector<uint64_t> shape, ByteView bytes) {
    layout.tensors.push_back(
        {std::move(name), dtype, std::move(shape), data.size(), bytes.size(), false});
    return gap(bytes);
  }
  Model& bf16(std::string name, uint64_t rows, uint64_t columns, uint64_t seed) {
    return tensor(std::move(name), DType::kBF16, {rows, columns},
                  weights(rows * columns * 2, seed));
  }
  std::shared_ptr<Source> source() const { return memory_source(data, "model", layout); }
  ByteView bytes(size_t tensor) const {
    return ByteView(data).subspan(layout.tensors[tensor].offset, layout.tensors[tensor].size);
  }

  Bytes bytes_copy(size_t tensor) const {
    const ByteView view = bytes(tensor);
    return {view.begin(), view.end()};
  }

  Bytes data;
  io::Layout layout{"test", {}, {{"author", "nobody"}}, {}};
};

inline Bytes archive_bytes(std::span<const Input> inputs, const WriteOptions& options = {}) {
  Bytes out;
  write_archive(
      inputs, [&](ByteView b) { out.insert(out.end(), b.begin(), b.end()); }, options);
  return out;
}

inline Bytes archive_bytes(const Model& model, const WriteOptions& options = {}) {
  const std::vector<Input> inputs = {{"model.bin", model.source(), 0755}};
  return archive_bytes(inputs, options);
}

inline Bytes whole_file(const Archive& archive, size_t file, int threads = 1) {
  Bytes out;
  archive.extract_file(file, [&](ByteView b) { out.insert(out.end(), b.begin(), b.end()); },
                       {.threads = threads});
  return out;
}

inline void write_whole(const fs::path& path, ByteView bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

// Runs the statement and gives the error it throws.
template <class F>
Error error_of(const F& run) {
  try {
    run();
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "no error";
  return {ErrorKind::kUsage, "no error"};
}

}  // namespace pith::archive::testing
