// Gradients of what a decoder does to its vectors between the matrices (decoder_kernels.h).
//
// Pure: no allocation, any length (also 0), no alignment asked.
#pragma once

#include <cstdint>

namespace pith::model {

// For y = rms_norm(x): to = the gradient at x of a loss whose gradient at y is dy. to may be dy.
void rms_norm_gradient(const float* x, const float* weight, const float* dy, uint64_t n, float eps,
                       float* to);

// For y = silu(gate) * up: the gradients at gate and up, which take their places.
void silu_times_gradient(const float* dy, uint64_t n, float* gate, float* up);

// For p = softmax(x): dp becomes the gradient at x.
void softmax_gradient(const float* p, uint64_t n, float* dp);

double dot(const float* a, const float* b, uint64_t n);

}  // namespace pith::model
