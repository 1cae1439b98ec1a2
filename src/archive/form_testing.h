// What the tests of tensors in compressed forms share: a model with tensors of every kind.
#pragma once

#include "pith/base/float_elements.h"
#include "testing.h"

namespace pith::archive::testing {

inline Bytes normal(DType dtype, uint64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  Bytes raw(n * info(dtype).block_bytes);
  elements_from(values, dtype, false, raw);
  return raw;
}

// Tensors of every kind that matters, with gaps between them.
inline Model mixed_model() {
  Model m;
  m.gap(as_bytes("header of the file"));
  m.tensor("embed", DType::kF32, {70, 96}, normal(DType::kF32, 70 * 96, 1));
  m.tensor("layer.norm", DType::kF32, {96}, normal(DType::kF32, 96, 2));
  m.tensor("layer.q", DType::kBF16, {33, 100}, normal(DType::kBF16, 3300, 3));
  m.tensor("layer.conv", DType::kF16, {8, 5, 20}, normal(DType::kF16, 800, 4));
  m.tensor("ids", DType::kI32, {40, 10}, noise(1600, 5));
  m.tensor("empty", DType::kF32, {0, 64}, {});
  m.tensor("layer.f8", DType::kF8E4M3, {16, 64}, normal(DType::kF8E4M3, 1024, 6));
  m.tensor("layer.f64", DType::kF64, {4, 64}, normal(DType::kF64, 256, 7));
  m.gap(Bytes(77, 'z'));
  m.tensor("lm_head", DType::kF32, {70, 96}, m.bytes_copy(0));
  return m;
}

inline WriteOptions with_forms(std::initializer_list<const char*> rules, int threads = 1) {
  WriteOptions options;
  options.threads = threads;
  for (const char* rule : rules) options.forms.push_back(parse_form_rule(rule));
  return options;
}

// An archive with its bytes.
class Stored {
 public:
  explicit Stored(Bytes bytes) : bytes_(std::move(bytes)), archive_(Archive::open_memory(bytes_)) {}
  Stored(const Stored&) = delete;
  Stored& operator=(const Stored&) = delete;
  const Archive& get() const { return archive_; }

 private:
  Bytes bytes_;
  Archive archive_;
};

}  // namespace pith::archive::testing
