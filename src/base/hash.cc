#include "pith/base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace pith {
namespace {

Hash128 canonical(XXH128_hash_t h) {
  XXH128_canonical_t c;
  XXH128_canonicalFromHash(&c, h);
  Hash128 out;
  std::memcpy(out.bytes.data(), c.digest, sizeof c.digest);
  return out;
}

}  // namespace

uint64_t hash64(ByteView data) { return XXH3_64bits(data.data(), data.size()); }

Hash128 hash128(ByteView data) { return canonical(XXH3_128bits(data.data(), data.size())); }

std::string Hash128::hex() const {
  std::string out;
  for (const uint8_t b : bytes) out += fmt::format("{:02x}", b);
  return out;
}

struct Hasher128::State {
  XXH3_state_t xxh;
};

Hasher128::Hasher128() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }
Hasher128::~Hasher128() = default;
Hasher128::Hasher128(Hasher128&&) noexcept = default;
Hasher128& Hasher128::operator=(Hasher128&&) noexcept = default;

void Hasher128::update(ByteView data) {
  XXH3_128bits_update(&state_->xxh, data.data(), data.size());
}

Hash128 Hasher128::digest() const { return canonical(XXH3_128bits_digest(&state_->xxh)); }

}  // namespace pith
