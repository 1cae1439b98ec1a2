#include "bench_peers.h"

#include <dlfcn.h>
#include <zstd.h>

#include <functional>
#include <utility>

#if __has_include(<lz4.h>) && __has_include(<lz4hc.h>)
#include <lz4.h>
#include <lz4hc.h>
#define PITH_BENCH_LZ4 1
#endif
#if __has_include(<brotli/encode.h>)
#include <brotli/decode.h>
#include <brotli/encode.h>
#define PITH_BENCH_BROTLI 1
#endif
#if __has_include(<lzma.h>)
#include <lzma.h>
#define PITH_BENCH_XZ 1
#endif

namespace pith::bench {
namespace {

// brotli -q 11 codes about 0.5 MB/s.
constexpr uint64_t kBrotli11 = 16 << 20;

[[noreturn]] void peer_failed(const std::string& name) {
  fail(ErrorKind::kData, "{} failed", name);
}

// A peer is two functions and the room for what it has coded.
class Peer : public Codec {
 public:
  using Encode = std::function<size_t(ByteView raw, MutableByteView room)>;  // 0: failed
  using Decode = std::function<bool(ByteView coded, MutableByteView raw)>;
  Peer(std::string name, uint64_t room, Encode encode, Decode decode)
      : Codec(std::move(name)),
        room_(room),
        encode_(std::move(encode)),
        decode_(std::move(decode)) {}

  uint64_t encode(ByteView raw) override {
    size_ = encode_(raw, room_);
    if (size_ == 0) peer_failed(name());
    return size_;
  }
  void decode(MutableByteView raw) override {
    if (!decode_(ByteView(room_).first(size_), raw)) peer_failed(name());
  }

 private:
  Bytes room_;
  size_t size_ = 0;
  Encode encode_;
  Decode decode_;
};

// A library opened for as long as the process lives.
class Library {
 public:
  explicit Library(const char* file) : handle_(dlopen(file, RTLD_NOW)) {}
  explicit operator bool() const { return handle_ != nullptr; }
  template <class F>
  F* function(const char* name) const {
    void* const symbol = dlsym(handle_, name);
    if (symbol == nullptr) fail(ErrorKind::kIo, "a compression library has no {}", name);
    return reinterpret_cast<F*>(symbol);
  }

 private:
  void* handle_;
};

#define PITH_FUNCTION(library, name) (library).function<decltype(::name)>(#name)

void add_lz4(PeerList& list, uint64_t size) {
#if PITH_BENCH_LZ4
  const Library library("liblz4.so.1");
  if (library && size < LZ4_MAX_INPUT_SIZE) {
    const auto bound = static_cast<uint64_t>(LZ4_COMPRESSBOUND(static_cast<int>(size)));
    auto* const decompress = PITH_FUNCTION(library, LZ4_decompress_safe);
    const auto decode = [=](ByteView in, MutableByteView out) {
      return std::cmp_equal(
          decompress(reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(out.data()),
                     static_cast<int>(in.size()), static_cast<int>(out.size())),
          out.size());
    };
    const auto encoder = [](auto* compress, int state_size, int level) {
      const auto state = std::make_shared<Bytes>(static_cast<size_t>(state_size) + 64);
      return [=](ByteView in, MutableByteView out) {
        return static_cast<size_t>(compress(state->data(), reinterpret_cast<const char*>(in.data()),
                                            reinterpret_cast<char*>(out.data()),
                                            static_cast<int>(in.size()),
                                            static_cast<int>(out.size()), level));
      };
    };
    auto* const fast = PITH_FUNCTION(library, LZ4_compress_fast_extState);
    auto* const high = PITH_FUNCTION(library, LZ4_compress_HC_extStateHC);
    list.codecs.push_back(std::make_unique<Peer>(
        "lz4", bound, encoder(fast, PITH_FUNCTION(library, LZ4_sizeofState)(), 1), decode));
    list.codecs.push_back(std::make_unique<Peer>(
        "lz4 -9", bound, encoder(high, PITH_FUNCTION(library, LZ4_sizeofStateHC)(), 9), decode));
    return;
  }
#endif
  list.missing.push_back("lz4: install liblz4-dev and build again");
}

void add_brotli(PeerList& list, uint64_t size, bool quick) {
#if PITH_BENCH_BROTLI
  const Library encoder("libbrotlienc.so.1"), decoder("libbrotlidec.so.1");
  if (encoder && decoder) {
    auto* const compress = PITH_FUNCTION(encoder, BrotliEncoderCompress);
    auto* const decompress = PITH_FUNCTION(decoder, BrotliDecoderDecompress);
    const uint64_t bound = PITH_FUNCTION(encoder, BrotliEncoderMaxCompressedSize)(size);
    for (const int quality : {5, 11}) {
      if (quality == 11 && (quick || size > kBrotli11)) continue;
      list.codecs.push_back(std::make_unique<Peer>(
          fmt::format("brotli -q {}", quality), bound,
          [=](ByteView in, MutableByteView out) {
            size_t n = out.size();
            return compress(quality, 24, BROTLI_MODE_GENERIC, in.size(), in.data(), &n, out.data())
                       ? n
                       : 0;
          },
          [=](ByteView in, MutableByteView out) {
            size_t n = out.size();
            return decompress(in.size(), in.data(), &n, out.data()) ==
                       BROTLI_DECODER_RESULT_SUCCESS &&
                   n == out.size();
          }));
    }
    return;
  }
#endif
  list.missing.push_back("brotli: install libbrotli-dev and build again");
}

void add_xz(PeerList& list, uint64_t size) {
#if PITH_BENCH_XZ
  const Library library("liblzma.so.5");
  if (library) {
    auto* const compress = PITH_FUNCTION(library, lzma_easy_buffer_encode);
    auto* const decompress = PITH_FUNCTION(library, lzma_stream_buffer_decode);
    list.codecs.push_back(std::make_unique<Peer>(
        "xz -6", PITH_FUNCTION(library, lzma_stream_buffer_bound)(size),
        [=](ByteView in, MutableByteView out) {
          size_t n = 0;
          return compress(6, LZMA_CHECK_CRC64, nullptr, in.data(), in.size(), out.data(), &n,
                          out.size()) == LZMA_OK
                     ? n
                     : 0;
        },
        [=](ByteView in, MutableByteView out) {
          uint64_t limit = UINT64_MAX;
          size_t read = 0, written = 0;
          return decompress(&limit, 0, nullptr, in.data(), &read, in.size(), out.data(), &written,
                            out.size()) == LZMA_OK &&
                 written == out.size();
        }));
    return;
  }
#endif
  list.missing.push_back("xz: install liblzma-dev and build again");
}

#undef PITH_FUNCTION

// Contexts that live as long as the codec.
struct Zstd {
  std::shared_ptr<ZSTD_CCtx> compressor{ZSTD_createCCtx(), ZSTD_freeCCtx};
  std::shared_ptr<ZSTD_DCtx> decompressor{ZSTD_createDCtx(), ZSTD_freeDCtx};

  size_t encode(ByteView in, MutableByteView out) const {
    const size_t n = ZSTD_compress2(compressor.get(), out.data(), out.size(), in.data(), in.size());
    return ZSTD_isError(n) ? 0 : n;
  }
  bool decode(ByteView in, MutableByteView out) const {
    return ZSTD_decompressDCtx(decompressor.get(), out.data(), out.size(), in.data(), in.size()) ==
           out.size();
  }
};

void xor_into(MutableByteView out, ByteView a, ByteView b) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = a[i] ^ b[i];
}

}  // namespace

std::unique_ptr<Codec> zstd_codec(std::string name, int level, bool long_window, uint64_t size) {
  const Zstd zstd;
  ZSTD_CCtx_setParameter(zstd.compressor.get(), ZSTD_c_compressionLevel, level);
  if (long_window) {
    ZSTD_CCtx_setParameter(zstd.compressor.get(), ZSTD_c_enableLongDistanceMatching, 1);
    ZSTD_CCtx_setParameter(zstd.compressor.get(), ZSTD_c_windowLog, 27);
  }
  return std::make_unique<Peer>(
      std::move(name), ZSTD_compressBound(size),
      [=](ByteView in, MutableByteView out) { return zstd.encode(in, out); },
      [=](ByteView in, MutableByteView out) { return zstd.decode(in, out); });
}

std::unique_ptr<Codec> xor_zstd_codec(std::string name, int level, ByteView base) {
  const Zstd zstd;
  ZSTD_CCtx_setParameter(zstd.compressor.get(), ZSTD_c_compressionLevel, level);
  const auto difference = std::make_shared<Bytes>(base.size());
  return std::make_unique<Peer>(
      std::move(name), ZSTD_compressBound(base.size()),
      [=](ByteView in, MutableByteView out) {
        xor_into(*difference, in, base);
        return zstd.encode(*difference, out);
      },
      [=](ByteView in, MutableByteView out) {
        if (!zstd.decode(in, out)) return false;
        xor_into(out, out, base);
        return true;
      });
}

PeerList general_peers(uint64_t size, bool quick) {
  PeerList list;
  list.codecs.push_back(zstd_codec("zstd -3", 3, false, size));
  if (!quick) {
    list.codecs.push_back(zstd_codec("zstd -19", 19, false, size));
    list.codecs.push_back(zstd_codec("zstd --ultra -22 --long=27", 22, true, size));
  }
  add_lz4(list, size);
  add_brotli(list, size, quick);
  if (!quick) add_xz(list, size);
  return list;
}

}  // namespace pith::bench
