// The steps of a network in integers.
#pragma once

#include "pith/form/integer_rows.h"
#include "pith/network/dyadic.h"
#include "pith/network/integer_network.h"
#include "window.h"

namespace pith::network {

struct IntegerStep {
  enum class Kind : uint8_t {
    kRescale,
    kConvolution,
    kProduct,
    kRelu,
    kMaxPool,
    kSum,
    kAdd,
    kFlatten
  };
  Kind kind = Kind::kRescale;
  Node node;                 // that it comes from
  size_t in = 0, other = 0;  // values that it takes, by number; 0 is the input
  size_t out = 0;
  // kRescale and kAdd: what each channel, or all, is multiplied by; then held in [low, high].
  std::vector<Dyadic> by, other_by;
  int32_t low = 0, high = 0;
  // kConvolution and kProduct.
  form::IntegerRows weights = {};
  std::vector<int32_t> bias = {};
  uint64_t groups = 1;
  Window window = {};   // kMaxPool's, too
  uint64_t count = 0;   // kSum: elements of each sum
  int64_t largest = 0;  // that a sum can get
};

struct IntegerSteps {
  uint64_t opset = 13;
  std::vector<IntegerStep> steps;
  size_t values = 1, output = 0;
  ActivationSamples::Codes input;
  double output_scale = 1;
};

// Branches of a sum are held in this range before they are added.
inline constexpr int32_t kMostBranch = 1 << 20;

inline int32_t dot(const int16_t* a, const int16_t* b, uint64_t n) {
  int32_t sum = 0;
  for (uint64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

inline int32_t held(int64_t x, int32_t low, int32_t high) {
  return static_cast<int32_t>(std::min<int64_t>(std::max<int64_t>(x, low), high));
}

}  // namespace pith::network
