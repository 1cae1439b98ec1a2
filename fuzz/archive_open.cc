// libFuzzer: bytes are opened as an archive, and everything in it is read; then recovered.
// Random changes hardly pass the checksums, so they are made right first (as an attacker would).
// Seeds: any small .pith files.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "pith/archive/reader.h"
#include "pith/archive/recover.h"
#include "pith/base/hash.h"

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
  options.verify_raw = false;
  return options;
}

// Places of fields in headers, frames and footer, as in docs/format.md.
constexpr size_t kUnit = 64, kHashed = 56, kStored = 16, kPayloadHash = 40;

void seal(Bytes& file, size_t at) {
  pith::store_le(&file[at + kHashed], pith::hash64(ByteView(file).subspan(at, kHashed)));
}

Bytes with_checksums(ByteView bytes) {
  Bytes file(bytes.begin(), bytes.end());
  if (file.size() < 2 * kUnit) return file;
  seal(file, 0);
  for (size_t at = kUnit; at + kUnit <= file.size(); at += kUnit) {
    if (std::memcmp(&file[at], "\xF7PFR", 4) != 0) continue;
    const auto stored = pith::load_le<uint64_t>(&file[at + kStored]);
    if (stored <= file.size() - at - kUnit) {
      pith::store_le(&file[at + kPayloadHash],
                     pith::hash64(ByteView(file).subspan(at + kUnit, stored)));
    }
    seal(file, at);
  }
  seal(file, file.size() - kUnit);
  return file;
}

template <class F>
void attempt(const F& run) {
  try {
    run();
  } catch (const Error&) {
  }
}

void use_form(const Archive& archive, size_t tensor) {
  const pith::form::FormPtr form = archive.form(tensor, tensor % 2 == 0);
  if (!form || form->shape().cols > 4096 || form->shape().rows > 4096) return;
  pith::form::Matrix x({1, form->shape().cols}), y;
  pith::form::apply(*form, x.view(), y);
  std::vector<float> row(form->shape().cols);
  if (form->shape().rows > 0) form->decode(0, 1, row.data());
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
    attempt([&] { use_form(archive, t); });
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
  const Bytes bytes = with_checksums({data, size});
  attempt([&] { read_everything(Archive::open_memory(bytes, limited())); });
  attempt([&] { read_everything(recover_memory(bytes, limited()).archive); });
  return 0;
}
