// XXH3 checksums: 64 bits for chunks and indexes, 128 bits for whole contents.
#pragma once

#include <array>
#include <compare>
#include <memory>
#include <string>

#include "pith/base/bytes.h"

namespace pith {

uint64_t hash64(ByteView data);

// 128-bit content hash, XXH3 canonical (big-endian) byte order; hex() prints 32 digits as xxhsum
// does.
struct Hash128 {
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const Hash128&) const = default;
  std::string hex() const;
};

Hash128 hash128(ByteView data);

// The same over a stream of pieces.
class Hasher128 {
 public:
  Hasher128();
  ~Hasher128();
  Hasher128(Hasher128&&) noexcept;
  Hasher128& operator=(Hasher128&&) noexcept;
  void update(ByteView data);
  Hash128 digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pith
