#include "pith/weights/speed.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "pith/base/parallel.h"
#include "pith/base/random.h"
#include "pith/form/form.h"

namespace pith::weights {

double nanoseconds_per_weight(const form::Expression& expression, int threads) {
  constexpr form::Shape kShape = {4096, 2048};
  constexpr int kTries = 7;
  form::Matrix matrix(kShape), x({1, kShape.cols}), y({1, kShape.rows});
  for (uint64_t i = 0; i < matrix.values.size(); ++i) {
    // Nearly normal: the sum of four uniform numbers.
    double sum = -2;
    for (uint64_t k = 0; k < 4; ++k) sum += random_unit(1, 4 * i + k);
    matrix.values[i] = static_cast<float>(sum * 0.03);
  }
  for (uint64_t i = 0; i < kShape.cols; ++i) {
    x.values[i] = static_cast<float>(random_unit(2, i) - 0.5);
  }
  const form::FormPtr form = form::encode(expression, matrix.view());
  double best = INFINITY;
  for (int i = 0; i < kTries; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    form::apply(*form, x.view(), y, thread_count(threads));
    const auto end = std::chrono::steady_clock::now();
    best = std::min(best, std::chrono::duration<double, std::nano>(end - begin).count());
  }
  return best / static_cast<double>(kShape.size());
}

}  // namespace pith::weights
