// What a chunk's header says, and the analysis that decides it.
#pragma once

#include <optional>

#include "context_mix_bytes.h"
#include "context_mix_float.h"
#include "pith/base/bytes.h"

namespace pith::lossless::cm {

// The elements of a chunk: whole ones, little-endian, each as an integer.
class Elements {
 public:
  Elements(ByteView bytes, uint32_t width) : bytes_(bytes), width_(width) {}
  uint64_t size() const { return bytes_.size() / width_; }
  uint64_t operator[](uint64_t i) const {
    uint64_t v = 0;
    std::memcpy(&v, bytes_.data() + i * width_, width_);
    return v;
  }

 private:
  ByteView bytes_;
  uint32_t width_;
};

// The row that models use: 0 unless the chunk holds two rows at least.
uint64_t usable_row(uint64_t row, uint64_t elements);

// A weight as one byte of header: its magnitude to about an eighth.
uint8_t weight_code(uint64_t count);
uint32_t weight_of(uint8_t code);

// elements.size() >= 1 for all. No plan when more than 256 exponents occur.
std::optional<FloatPlan> plan_floats(const Elements& elements, const ElementLayout& layout,
                                     const Elements* base);
BytePlan plan_bytes(const Elements& elements, uint32_t width, uint64_t row, bool with_base);

void write_plan(ByteWriter& out, const FloatPlan& plan);
void write_plan(ByteWriter& out, const BytePlan& plan);
// Fill what the header says; what comes from layout and size is set by the caller before.
void read_plan(ByteReader& in, FloatPlan& plan);
void read_plan(ByteReader& in, BytePlan& plan);

}  // namespace pith::lossless::cm
