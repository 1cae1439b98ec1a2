// The codes of a matrix in panels (panel.h), as they are or entropy-coded.
#pragma once

#include <vector>

#include "panel.h"
#include "pith/base/buffer.h"
#include "pith/base/bytes.h"

namespace pith::form {

// Coded, every panel is a stream of its own, so that its size follows the entropy of its codes and
// threads decode where they multiply: the codes of up to 16 rows chunk by chunk, with a static
// distribution (entropy/nibble_rans.h up to four bits, else entropy/byte_rans.h), or as they are
// where that would not be smaller.
class PanelCodes {
 public:
  // Throws ErrorKind::kData unless the codes have the size of the shape.
  PanelCodes(Shape shape, int bits, Buffer codes);
  // ends: where each panel's stream ends, u64. Throws ErrorKind::kData unless they ascend to the
  // end of the streams.
  PanelCodes(Shape shape, int bits, Buffer ends, Buffer streams);

  // Throws ErrorKind::kUsage for more columns than a stream may hold.
  PanelCodes coded() const;

  bool is_coded() const { return coded_; }
  // The codes, or the streams.
  const Buffer& bytes() const { return bytes_; }
  const Buffer& ends() const { return ends_; }

  // As they are stored; not of coded ones.
  Panel stored(uint64_t panel) const;
  // With 16 rows, in `scratch` where they do not lie like that: decoded ones have 8 bits. Throws
  // ErrorKind::kData for a damaged stream.
  Panel whole(uint64_t panel, std::vector<uint8_t>& scratch) const;

 private:
  uint64_t rows_of(uint64_t panel) const;
  ByteView stream(uint64_t panel) const;

  Shape shape_;
  int bits_;
  bool coded_ = false;
  Buffer bytes_, ends_;
};

}  // namespace pith::form
