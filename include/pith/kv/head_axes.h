// The tokens of one head as coordinates along the axes of a profile, and back.
//
// A key has its rotation undone for the position where it was read; of keys and values the mean is
// taken off, what is left is divided by the head's scale, and its products with the first axes are
// the coordinates. They lie in a form, an axis as a channel; the axes that are not kept in another
// form, or nowhere. Where the profile says what axes weigh, coordinates are in units of that, so
// that one step for all costs the same along each.
#pragma once

#include <memory>
#include <vector>

#include "pith/form/form.h"
#include "pith/kv/options.h"

namespace pith::kv {

class HeadAxes {
 public:
  // options.axes is there. kept: axes of the span, at least 1 is. unit: the mean weight of axes.
  HeadAxes(const CacheOptions& options, const Span& keys, uint64_t kept_of_keys, const Span& values,
           uint64_t kept_of_values, double unit, std::shared_ptr<const TileRotator> rotator);

  // rows: [token][channel], at most kTileTokens; first: the position of the first of them.
  form::FormPtr encode_keys(const float* rows, uint64_t first, uint64_t count) const;
  form::FormPtr encode_values(const float* rows, uint64_t count) const;
  // The reverse; rows of values are `stride` floats apart.
  void decode_keys(const form::Form& form, uint64_t first, uint64_t count, float* rows) const;
  void decode_values(const form::Form& form, uint64_t count, float* rows, uint64_t stride) const;

  uint64_t head_size() const { return keys_.span->channels(); }
  // Bits of a tile whose coordinates vary as the profile says.
  uint64_t tile_bits(uint64_t count) const;

 private:
  // Of keys, or of values.
  struct Side {
    const Span* span;
    uint64_t count;  // of the axes that are in the form
    Coding coding;
    std::vector<float> units;     // by which coordinates along each are multiplied
    std::vector<float> to, from;  // [axis][channel]: the axes times their units, and over them

    form::FormPtr encode(std::vector<float> rows, uint64_t tokens) const;
    form::FormPtr encode_coordinates(form::Matrix coordinates) const;
    void decode(const form::Form& form, uint64_t tokens, float* rows, uint64_t stride) const;
  };
  static Side side(const Coding& coding, const AxesOptions& axes, const Span& span, uint64_t kept,
                   double unit);

  std::shared_ptr<const Profile> profile_;
  Side keys_, values_;
  std::shared_ptr<const TileRotator> rotator_;
};

// Of all heads of all layers, in order.
std::vector<std::shared_ptr<const HeadAxes>> head_axes(const CacheOptions& options);

}  // namespace pith::kv
