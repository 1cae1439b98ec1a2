// libFuzzer: bytes are opened as an archive, and everything in it is read; then recovered.
//
//   clang++-14 -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude \
//     fuzz/archive_open.cc src/{base,entropy,io,lossless,archive}/*.cc (without tests) -lfmt …
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "pith/archive/reader.h"
#include "pith/archive/recover.h"

namespace {

using pith::Bytes;
using pith::ByteView;
using pith::Error;
using namespace pith::archive;

constexpr uint64_t kMemory = 16 << 20;
constexpr uint64_t kEnough = 64 << 20;  // decoded for one input; constants may expand a lot

OpenOptions limited() {
  OpenOptions options;
  options.memory_limit = kMemory;
  return options;
}

template <class F>
void attempt(const F& run) {
  try {
    run();
  } catch (const Error&) {
  }
}

void read_everything(const Archive& archive) {
  uint64_t total = 0;
  for (const FileInfo& file : archive.files()) {
    total += file.size;
    if (file.size > kEnough || total > kEnough) return;
  }
  for (size_t f = 0; f < archive.files().size(); ++f) {
    attempt([&] { archive.extract_file(f, [](ByteView) {}, {.threads = 1}); });
    Bytes one(1);
    attempt([&] { archive.read(f, archive.files()[f].size / 2, one); });
    archive.lost(f);
  }
  for (size_t t = 0; t < archive.tensors().size() && t < 100; ++t) {
    attempt([&] { archive.read_tensor(t); });
    attempt([&] { archive.detail(t); });
    attempt([&] { archive.find(archive.tensors()[t].region.name); });
    attempt([&] {
      Bytes row(std::min<uint64_t>(archive.row_bytes(t), kMemory));
      archive.read_rows(t, 0, 1, row);
    });
  }
  attempt([&] { archive.verify(1); });
  archive.content_hash();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ByteView bytes(data, size);
  attempt([&] { read_everything(Archive::open_memory(bytes, limited())); });
  attempt([&] { read_everything(recover_memory(bytes, limited()).archive); });
  return 0;
}
