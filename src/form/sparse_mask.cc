#include "sparse_mask.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "sparse_kernel.h"
#include "storage.h"

namespace pith::form {
namespace {

constexpr uint64_t kWord = 64;
constexpr uint64_t kMostIndexBits = 8;
// Vectors up to which rows are not expanded.
constexpr uint64_t kFew = 8;

uint64_t words_of(uint64_t cols) { return cols / kWord + (cols % kWord != 0); }

uint64_t index_bits(const SparseOptions& o) {
  return static_cast<uint64_t>(std::bit_width(o.m - 1));
}

// Indices take less room than m bits.
bool has_indices(const SparseOptions& o) {
  return o.is_ratio() && index_bits(o) <= kMostIndexBits && o.n * index_bits(o) < o.m;
}

// In whole words, with a byte to spare so that an index can be read as two bytes.
uint64_t place_bytes(const SparseOptions& o, uint64_t cols) {
  if (!has_indices(o)) return 8 * words_of(cols);
  return 8 * words_of(kept_of_row(o, cols) * index_bits(o) + 8);
}

// Four indices of two bits, one for each four neighbours, as a mask of sixteen columns.
constexpr auto kMaskOfByte = [] {
  std::array<uint16_t, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    unsigned mask = 0;
    for (unsigned i = 0; i < 4; ++i) mask |= 1u << (4 * i + (byte >> (2 * i) & 3));
    table[byte] = static_cast<uint16_t>(mask);
  }
  return table;
}();

[[noreturn]] void disagree() {
  fail(ErrorKind::kData, "sparse: places and values that do not agree");
}

}  // namespace

uint64_t kept_of_row(const SparseOptions& o, uint64_t cols) {
  return cols / o.m * o.n + std::min(cols % o.m, o.n);
}

MaskForm::MaskForm(Shape shape, const SparseOptions& options, Buffer places, FormPtr values)
    : SparseForm(shape, options, std::move(values)),
      places_(std::move(places)),
      row_bytes_(place_bytes(options, shape.cols)) {
  if (places_.size() != checked_mul(shape.rows, row_bytes_)) disagree();
  check();
  if (options.is_ratio()) {
    if (this->values().shape() != Shape{shape.rows, kept_of_row(options, shape.cols)}) disagree();
    return;
  }
  uint64_t n = 0;
  for (uint64_t r = 0; r < shape.rows && row_bytes_ > 0; ++r) {
    begins_.push_back(n);
    for (uint64_t w = 0; w < row_bytes_; w += 8) {
      n += static_cast<uint64_t>(
          std::popcount(load_le<uint64_t>(places_.data() + r * row_bytes_ + w)));
    }
  }
  begins_.push_back(n);
  if (this->values().shape() != folded(n)) disagree();
}

// Kernels take as many values as there are bits: what is stored must have as many as the values.
void MaskForm::check() const {
  const SparseOptions& o = options();
  const uint64_t cols = shape().cols;
  if (cols == 0) return;
  std::vector<uint64_t> scratch;
  for (uint64_t r = 0; r < shape().rows; ++r) {
    if (has_indices(o)) {
      // Rising indices within their blocks give as many bits as there are indices.
      const uint8_t* row = places_.data() + r * row_bytes_;
      const uint64_t bits = index_bits(o), most = (uint64_t{1} << bits) - 1;
      for (uint64_t at = 0, i = 0; at < cols; at += o.m) {
        uint64_t next = 0;
        for (uint64_t k = 0; k < std::min(o.n, cols - at); ++k, ++i) {
          const uint64_t index = load_le<uint16_t>(row + i * bits / 8) >> (i * bits % 8) & most;
          if (index < next || index >= std::min(o.m, cols - at)) disagree();
          next = index + 1;
        }
      }
      continue;
    }
    const uint8_t* row = mask(r, scratch);
    const uint64_t last = load_le<uint64_t>(row + row_bytes_ - 8);
    if (cols % kWord != 0 && last >> (cols % kWord) != 0) disagree();
    if (!o.is_ratio()) continue;
    const auto bit = [&](uint64_t c) { return row[c / 8] >> (c % 8) & 1u; };
    for (uint64_t at = 0; at < cols; at += std::min(o.m, cols - at)) {
      const uint64_t length = std::min(o.m, cols - at);
      uint64_t kept = 0;
      for (uint64_t c = at; c < at + length; ++c) kept += bit(c);
      if (kept != std::min(o.n, length)) disagree();
    }
  }
}

void MaskForm::unpack_indices(uint64_t row, std::vector<uint64_t>& mask) const {
  const SparseOptions& o = options();
  const uint64_t cols = shape().cols, bits = index_bits(o), most = (uint64_t{1} << bits) - 1;
  const uint8_t* p = places_.data() + row * row_bytes_;
  mask.assign(words_of(cols), 0);
  uint64_t at = 0;
  if (o.n == 1 && o.m == 4) {
    for (; at + kWord <= cols; at += kWord) {
      const uint8_t* q = p + at / 16;
      mask[at / kWord] = kMaskOfByte[q[0]] | uint64_t{kMaskOfByte[q[1]]} << 16 |
                         uint64_t{kMaskOfByte[q[2]]} << 32 | uint64_t{kMaskOfByte[q[3]]} << 48;
    }
  }
  if (kWord % o.m == 0) {
    // Blocks lie within words, which are put together in a register.
    uint64_t bit = at / o.m * o.n * bits;
    for (; at + kWord <= cols; at += kWord) {
      uint64_t word = 0;
      for (uint64_t block = 0; block < kWord; block += o.m) {
        for (uint64_t k = 0; k < o.n; ++k, bit += bits)
          word |= uint64_t{1} << (block + (load_le<uint16_t>(p + bit / 8) >> bit % 8 & most));
      }
      mask[at / kWord] = word;
    }
  }
  for (uint64_t i = at / o.m * o.n; at < cols; at += o.m) {
    for (uint64_t k = 0; k < std::min(o.n, cols - at); ++k, ++i) {
      const uint64_t c = at + (load_le<uint16_t>(p + i * bits / 8) >> (i * bits % 8) & most);
      mask[c / kWord] |= uint64_t{1} << (c % kWord);
    }
  }
}

const uint8_t* MaskForm::mask(uint64_t row, std::vector<uint64_t>& scratch) const {
  if (!has_indices(options())) return places_.data() + row * row_bytes_;
  unpack_indices(row, scratch);
  return reinterpret_cast<const uint8_t*>(scratch.data());
}

template <class Function>
void MaskForm::for_each_row(uint64_t first, uint64_t last, Function&& f) const {
  if (first == last) return;
  Scratch scratch;
  const uint64_t kept = options().is_ratio() ? kept_of_row(options(), shape().cols) : 0;
  for (uint64_t r = first; r < last; ++r) {
    MaskedRow row;
    row.mask = mask(r, scratch.mask);
    row.values = begins_.empty() ? values_at(values(), r * kept, (r + 1) * kept, scratch.values)
                                 : values_at(values(), begins_[r], begins_[r + 1], scratch.values);
    f(r, row);
  }
}

void MaskForm::decode(uint64_t first, uint64_t last, float* out) const {
  if (shape().cols == 0) return;
  for_each_row(first, last, [&](uint64_t r, const MaskedRow& row) {
    expand_row(row, shape().cols, out + (r - first) * shape().cols);
  });
}

void MaskForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                        uint64_t stride) const {
  if (x.batch() > kFew || shape().cols == 0) return Form::multiply(x, first, last, out, stride);
  for_each_row(first, last, [&](uint64_t r, const MaskedRow& row) {
    for (uint64_t b = 0; b < x.batch(); ++b)
      out[b * stride + r - first] = masked_dot(row, shape().cols, x.vectors().row(b).data());
  });
}

void MaskForm::write_places(BodyWriter& to) const { to.array(places_.bytes); }

FormPtr MaskForm::read(Shape shape, const SparseOptions& options, BodyReader& in) {
  Buffer places = in.array(checked_mul(shape.rows, place_bytes(options, shape.cols)));
  FormPtr values = in.form();
  return std::make_shared<MaskForm>(shape, options, std::move(places), std::move(values));
}

FormPtr MaskForm::make(const SparseOptions& o, Shape shape, std::span<const uint64_t> kept,
                       FormPtr values) {
  const uint64_t bytes = place_bytes(o, shape.cols), bits = has_indices(o) ? index_bits(o) : 0;
  Bytes places(checked_mul(shape.rows, bytes));
  uint64_t row = 0, in_row = 0;
  for (const uint64_t at : kept) {
    const uint64_t r = at / shape.cols, c = at % shape.cols;
    if (r != row) in_row = 0;
    row = r;
    uint8_t* to = places.data() + r * bytes;
    if (has_indices(o)) {
      uint8_t* p = to + in_row * bits / 8;
      store_le(p, static_cast<uint16_t>(load_le<uint16_t>(p) | c % o.m << (in_row * bits % 8)));
      ++in_row;
    } else {
      to[c / 8] = static_cast<uint8_t>(to[c / 8] | 1u << (c % 8));
    }
  }
  return std::make_shared<MaskForm>(shape, o, Buffer(std::move(places)), std::move(values));
}

namespace {

// Appends the elements that a row of n:m keeps, rising.
void append_kept(const SparseOptions& o, std::span<const float> row, uint64_t begin,
                 std::vector<uint64_t>& kept) {
  std::vector<float> size;
  for (uint64_t at = 0; at < row.size(); at += std::min<uint64_t>(o.m, row.size() - at)) {
    size.clear();
    for (uint64_t c = at; c < row.size() && c - at < o.m; ++c) size.push_back(std::fabs(row[c]));
    const std::vector<bool> keep = largest(size, o.n);
    for (uint64_t i = 0; i < keep.size(); ++i) {
      if (keep[i]) kept.push_back(begin + at + i);
    }
  }
}

}  // namespace

FormPtr MaskForm::encode(const SparseOptions& o, const Expression& values, MatrixView matrix) {
  const Shape shape = matrix.shape;
  std::vector<uint64_t> kept;
  if (o.is_ratio()) {
    for (uint64_t r = 0; r < shape.rows; ++r) append_kept(o, matrix.row(r), r * shape.cols, kept);
    Matrix numbers({shape.rows, kept_of_row(o, shape.cols)});
    for (uint64_t i = 0; i < kept.size(); ++i) numbers.values[i] = matrix.data[kept[i]];
    clamp_for(values, numbers.values);
    return make(o, shape, kept, form::encode(values, numbers.view()));
  }
  kept = largest_elements(matrix, o.share);
  return make(o, shape, kept, encode_folded(values, gathered(matrix, kept)));
}

}  // namespace pith::form
