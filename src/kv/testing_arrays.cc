#include "testing_arrays.h"

#include "pith/base/random.h"

namespace pith::kv::testing {

Arrays made(uint64_t tokens, uint64_t seed) {
  Arrays a{.heads = {2, 0, 1}, .first = 7, .tokens = tokens, .head_size = 20};
  for (uint64_t i = 0; i < a.size(); ++i) {
    a.keys.push_back(static_cast<float>(random_normal(2 * seed, i)));
    a.values.push_back(static_cast<float>(random_normal(2 * seed + 1, i)));
  }
  return a;
}

Arrays made_alike(uint64_t tokens, uint64_t numbers, uint64_t seed) {
  Arrays a = made(tokens, seed);
  for (std::vector<float>* v : {&a.keys, &a.values}) {
    for (uint64_t i = 0; i < v->size(); ++i) {
      const uint64_t channel = i / (tokens * a.head_size) * a.head_size + i % a.head_size;
      const uint64_t t = i / a.head_size % tokens;
      double sum = 0.1 * (*v)[i];
      for (uint64_t k = 0; k < numbers; ++k)
        sum +=
            random_normal(99, channel * numbers + k) * random_normal(1000 + seed, t * numbers + k);
      (*v)[i] = static_cast<float>(sum);
    }
  }
  return a;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (uint64_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - b[i];
    sum += d * d;
  }
  return a.empty() ? 0 : sum / static_cast<double>(a.size());
}

}  // namespace pith::kv::testing
