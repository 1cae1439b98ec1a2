#include <array>

#include "block.h"
#include "planes_kernel.h"
#include "stream.h"

namespace pith::lossless {
namespace {

constexpr uint8_t kRotateFlag = 0x80;

struct Header {
  int width;
  bool rotate;
};

Header read_header(ByteReader& in) {
  const uint8_t byte = in.u8();
  const int width = byte & 0x7F;
  if (width != 1 && width != 2 && width != 4 && width != 8)
    in.bad("a plane width that is not 1, 2, 4 or 8");
  return {width, (byte & kRotateFlag) != 0};
}

}  // namespace

void encode_planes(ByteView raw, int width, bool rotate, Level level, Bytes& out) {
  const uint64_t n = raw.size() / static_cast<uint64_t>(width);
  ByteWriter w(out);
  w.u8(static_cast<uint8_t>(width | (rotate ? kRotateFlag : 0)));
  if (width == 1 && !rotate) return encode_stream(raw, level, out);
  thread_local Bytes scratch;
  if (scratch.size() < raw.size()) scratch.resize(raw.size());
  std::array<uint8_t*, 8> planes{};
  for (int p = 0; p < width; ++p)
    planes[static_cast<size_t>(p)] = scratch.data() + static_cast<uint64_t>(p) * n;
  split_planes(raw, width, rotate, planes.data());
  for (int p = 0; p < width; ++p) encode_stream({planes[static_cast<size_t>(p)], n}, level, out);
}

void decode_planes(ByteReader& in, MutableByteView raw) {
  const Header h = read_header(in);
  const auto width = static_cast<uint64_t>(h.width);
  if (raw.size() % width != 0) in.bad("planes do not fill whole elements");
  if (h.width == 1 && !h.rotate) return decode_stream(in, raw);
  thread_local std::array<Bytes, 8> scratch;
  std::array<const uint8_t*, 8> planes{};
  for (uint64_t p = 0; p < width; ++p) {
    planes[p] = decode_stream_view(in, raw.size() / width, scratch[p]).data();
  }
  merge_planes(planes.data(), h.width, h.rotate, raw);
}

std::string explain_planes(ByteReader& in) {
  const Header h = read_header(in);
  std::string text = fmt::format("planes({}{}: ", h.width * 8, h.rotate ? " rotated" : "");
  for (int p = 0; p < h.width; ++p) text += (p ? ", " : "") + explain_stream(in);
  return text + ")";
}

}  // namespace pith::lossless
