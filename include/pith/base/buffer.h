// Bytes that someone keeps alive: a mapped file, an archive's chunk, or memory of their own.
#pragma once

#include <memory>
#include <utility>

#include "pith/base/bytes.h"

namespace pith {

struct Buffer {
  ByteView bytes;
  std::shared_ptr<const void> owner;

  Buffer() = default;
  Buffer(ByteView view, std::shared_ptr<const void> keeper)
      : bytes(view), owner(std::move(keeper)) {}
  explicit Buffer(Bytes own) {
    auto kept = std::make_shared<const Bytes>(std::move(own));
    bytes = *kept;
    owner = std::move(kept);
  }
  const uint8_t* data() const { return bytes.data(); }
  size_t size() const { return bytes.size(); }
};

}  // namespace pith
