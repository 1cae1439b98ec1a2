// Products with codebooks and lattices: weights a second, and what is read of memory for them.
#include "product_bench.h"

namespace pith::form {
namespace {

const bool registered = register_products(
    {1024, 4096},
    {"dense(f16)", "uniform(4)", "codebook(4)", "codebook(16)", "codebook(256)",
     "codebook(16, dim=2)", "codebook(256, dim=4)", "codebook(256, dim=8)",
     "codebook(256, dim=8, stages=2)", "lattice(e8, 2)", "lattice(e8, 4)",
     "lattice(pyramid, dim=16, bits=3)", "trellis(2, states=256)", "trellis(4, states=256)"});

}  // namespace
}  // namespace pith::form
