#include "zstd_frame.h"

#include <zstd.h>

#include <memory>

namespace pith::lossless {
namespace {

struct Free {
  void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
};

size_t compress(ByteView raw, int level, MutableByteView to) {
  thread_local const std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  const size_t n =
      ZSTD_compressCCtx(context.get(), to.data(), to.size(), raw.data(), raw.size(), level);
  if (ZSTD_isError(n)) fail(ErrorKind::kLimit, "zstd: {}", ZSTD_getErrorName(n));
  return n;
}

}  // namespace

size_t append_zstd(ByteView raw, int level, Bytes& out) {
  const size_t start = out.size();
  out.resize(start + ZSTD_compressBound(raw.size()));
  const size_t n = compress(raw, level, MutableByteView(out).subspan(start));
  out.resize(start + n);
  return n;
}

bool decompress_zstd(ByteView frame, MutableByteView raw) {
  thread_local const std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  return ZSTD_decompressDCtx(context.get(), raw.data(), raw.size(), frame.data(), frame.size()) ==
         raw.size();
}

size_t zstd_size(ByteView raw) {
  thread_local Bytes scratch;
  scratch.resize(ZSTD_compressBound(raw.size()));
  return compress(raw, 1, scratch);
}

}  // namespace pith::lossless
