// The inner loops of what restores numbers from codes.
#pragma once

#include <cstdint>

namespace pith::kv {

// to[t][c] = rows[c][t] of `tokens` bytes each.
void transpose_bytes(const uint8_t* const* rows, uint64_t channels, uint64_t tokens, uint8_t* to);

// out[c] = from[c] + steps[c] * unzigzag(codes[c]), of `count` rows one after the other, all from
// the same one.
void restore_rows(const uint8_t* codes, uint64_t count, uint64_t channels, const float* steps,
                  const float* from, float* out);

// Elements i and i + pairs of each row of `size` turned by an angle, the sines times `sign`. Of
// each row `pairs` cosines and sines.
void turn_halves(float* rows, uint64_t count, uint64_t size, uint64_t pairs, const float* cosines,
                 const float* sines, float sign);

// out[i] += a * from[i].
void add_scaled(float a, const float* from, uint64_t n, float* out);

}  // namespace pith::kv
