// Products with sparse forms, factors and bases beside the dense form that they stand for: weights
// a second, whether kept or not, and what is read of memory for them.
#include "product_bench.h"

namespace pith::form {
namespace {

const bool registered = register_products({2048, 4096}, {"dense(f32)",
                                                         "dense(f16)",
                                                         "sparse(50%)",
                                                         "sparse(30%)",
                                                         "sparse(10%)",
                                                         "sparse(2:4)",
                                                         "sparse(1:4)",
                                                         "sparse(2:16)",
                                                         "sparse(2:4, values=uniform(4))",
                                                         "sparse(1%)",
                                                         "sparse(5%)",
                                                         "sparse(50%, block=16)",
                                                         "sparse(50%, block=16, height=16)",
                                                         "sparse(50%, pattern=rows)",
                                                         "sparse(50%, pattern=columns)",
                                                         "lowrank(64)",
                                                         "blockdiag(64, values=f32)",
                                                         "dct(block=64) | dense(f16)",
                                                         "dct | dense(f16)",
                                                         "wavelet(db4) | dense(f16)",
                                                         "hadamard | dense(f16)"});

}  // namespace
}  // namespace pith::form
