#include "panel_codes.h"

#include <algorithm>
#include <cstring>

#include "panel_kernel.h"
#include "pith/base/error.h"
#include "pith/entropy/byte_rans.h"
#include "pith/entropy/nibble_rans.h"

namespace pith::form {
namespace {

constexpr int kMostNibbleBits = 4;

// Codes of a panel in a stream, those that fill up its last block too.
uint64_t symbols_of(uint64_t rows, uint64_t cols) { return rows * panel_blocks(cols) * kBlockCols; }

bool fits_nibbles(int bits, uint64_t symbols) {
  return bits <= kMostNibbleBits && symbols <= entropy::kNibbleRansMaxSymbols;
}

// `symbols` of a panel, or those of all its chunks where it has 16 rows.
void decode_stream(ByteView stream, int bits, MutableByteView symbols) {
  if (stream.size() == symbols.size()) {
    std::ranges::copy(stream, symbols.begin());
  } else if (fits_nibbles(bits, symbols.size())) {
    entropy::nibble_rans_decode(stream, symbols);
  } else {
    entropy::byte_rans_decode(stream, symbols);
  }
  // What a damaged stream may say is no more than a code.
  const auto mask = static_cast<uint8_t>((1 << bits) - 1);
  for (uint8_t& s : symbols) s &= mask;
}

}  // namespace

PanelCodes::PanelCodes(Shape shape, int bits, Buffer codes)
    : shape_(shape), bits_(bits), bytes_(std::move(codes)) {
  if (bytes_.size() != checked_mul(shape.rows, panel_row_bytes(shape.cols, bits))) {
    fail(ErrorKind::kData, "codes of the wrong size");
  }
}

PanelCodes::PanelCodes(Shape shape, int bits, Buffer ends, Buffer streams)
    : shape_(shape), bits_(bits), coded_(true), bytes_(std::move(streams)), ends_(std::move(ends)) {
  const uint64_t panels = panels_of(shape.rows);
  bool good = ends_.size() == checked_mul(panels, sizeof(uint64_t));
  uint64_t last = 0;
  for (uint64_t p = 0; good && p < panels; ++p) {
    const auto end = load_le<uint64_t>(ends_.data() + 8 * p);
    good = end >= last && end <= bytes_.size();
    last = end;
  }
  if (!good || last != bytes_.size() ||
      symbols_of(kPanelRows, shape.cols) > entropy::kByteRansMaxSymbols) {
    fail(ErrorKind::kData, "coded panels that do not fit");
  }
}

uint64_t PanelCodes::rows_of(uint64_t panel) const {
  return std::min(kPanelRows, shape_.rows - panel * kPanelRows);
}

ByteView PanelCodes::stream(uint64_t panel) const {
  const uint64_t begin = panel == 0 ? 0 : load_le<uint64_t>(ends_.data() + 8 * (panel - 1));
  return bytes_.bytes.subspan(begin, load_le<uint64_t>(ends_.data() + 8 * panel) - begin);
}

Panel PanelCodes::stored(uint64_t panel) const {
  return {bytes_.data() + panel * kPanelRows * panel_row_bytes(shape_.cols, bits_), bits_,
          rows_of(panel), shape_.cols};
}

Panel PanelCodes::whole(uint64_t panel, std::vector<uint8_t>& scratch) const {
  if (coded_) {
    const uint64_t rows = rows_of(panel), width = 4 * rows;
    scratch.resize(panel_blocks(shape_.cols) * kChunks * kChunk);
    if (rows == kPanelRows) {
      decode_stream(stream(panel), bits_, scratch);
    } else {
      std::vector<uint8_t> symbols(symbols_of(rows, shape_.cols));
      decode_stream(stream(panel), bits_, symbols);
      std::ranges::fill(scratch, uint8_t{0});
      for (uint64_t i = 0; i * width < symbols.size(); ++i) {
        std::memcpy(scratch.data() + i * kChunk, symbols.data() + i * width, width);
      }
    }
    return {scratch.data(), 8, kPanelRows, shape_.cols};
  }
  Panel p = stored(panel);
  if (p.rows == kPanelRows) return p;
  scratch.resize(kPanelRows * panel_row_bytes(shape_.cols, bits_));
  pad_panel(p, scratch.data());
  p.codes = scratch.data();
  p.rows = kPanelRows;
  return p;
}

PanelCodes PanelCodes::coded() const {
  if (symbols_of(kPanelRows, shape_.cols) > entropy::kByteRansMaxSymbols) {
    fail(ErrorKind::kUsage, "rows of {} codes are too long to be coded", shape_.cols);
  }
  Bytes streams, ends, room;
  std::vector<uint8_t> chunks, symbols;
  ByteWriter end(ends);
  for (uint64_t p = 0; p < panels_of(shape_.rows); ++p) {
    const uint64_t width = 4 * rows_of(p);
    chunks.resize(panel_blocks(shape_.cols) * kChunks * kChunk);
    unpack_panel(stored(p), chunks.data());
    symbols.resize(symbols_of(rows_of(p), shape_.cols));
    for (uint64_t i = 0; i * width < symbols.size(); ++i) {
      std::memcpy(symbols.data() + i * width, chunks.data() + i * kChunk, width);
    }
    size_t size = 0;
    if (fits_nibbles(bits_, symbols.size())) {
      room.resize(entropy::nibble_rans_bound(symbols.size()));
      size = entropy::nibble_rans_encode(symbols, room);
    } else {
      room.resize(entropy::byte_rans_bound(symbols.size()));
      size = entropy::byte_rans_encode(symbols, room);
    }
    const ByteView stream = size == 0 ? ByteView(symbols) : ByteView(room).first(size);
    streams.insert(streams.end(), stream.begin(), stream.end());
    end.u64(streams.size());
  }
  return {shape_, bits_, Buffer(std::move(ends)), Buffer(std::move(streams))};
}

}  // namespace pith::form
