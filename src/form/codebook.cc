#include "codebook.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "codebook_kernel.h"
#include "codes.h"
#include "pith/base/half.h"
#include "scales.h"

namespace pith::form {
namespace {

// Bytes of products that stay in the first-level cache while rows go over them.
constexpr uint64_t kTableBytes = 16 << 10;
constexpr float kMostI8 = 127;

uint64_t ceil_divided(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

uint64_t tables_of(const CodebookShape& s) { return checked_mul(s.blocks, s.stages); }

uint64_t units_size(const CodebookShape& s) {
  return checked_mul(sizeof(float), s.type == DType::kI8 ? tables_of(s) : 1);
}

uint64_t entries_size(const CodebookShape& s) {
  return checked_mul(checked_mul(tables_of(s), s.size * s.dim), s.type == DType::kI8 ? 1 : 2);
}

float largest(const std::vector<float>& values) {
  float most = 0;
  for (const float v : values) most = std::max(most, std::fabs(v));
  return most;
}

}  // namespace

int CodebookShape::bits() const { return std::bit_width(size - 1); }

Codebook::Codebook(CodebookShape shape, Buffer units, Buffer entries)
    : shape_(shape), units_(std::move(units)), entries_(std::move(entries)) {
  if (units_.size() != units_size(shape) || entries_.size() != entries_size(shape))
    fail(ErrorKind::kData, "a codebook of the wrong size");
  const bool bytes = shape.type == DType::kI8;
  const uint64_t tables = tables_of(shape), n = shape.size * shape.dim;
  values_.resize(checked_mul(tables, shape.table()));
  for (uint64_t t = 0; t < tables; ++t) {
    const auto unit = load_le<float>(units_.data() + (bytes ? sizeof(float) * t : 0));
    float* to = values_.data() + t * shape.table();
    for (uint64_t i = 0; i < n; ++i) {
      const float v = bytes ? static_cast<float>(static_cast<int8_t>(entries_.data()[t * n + i]))
                            : float_from_f16(load_le<uint16_t>(entries_.data() + 2 * (t * n + i)));
      to[i] = unit * v;
    }
  }
}

std::shared_ptr<const Codebook> Codebook::rounded(CodebookShape shape,
                                                  const std::vector<std::vector<float>>& tables) {
  Bytes units, entries;
  ByteWriter u(units), e(entries);
  if (shape.type == DType::kI8) {
    for (const auto& table : tables) {
      const float unit = largest(table) / kMostI8;
      u.u32(std::bit_cast<uint32_t>(unit));
      for (const float v : table)
        e.u8(static_cast<uint8_t>(static_cast<int8_t>(unit > 0 ? std::round(v / unit) : 0)));
    }
  } else {
    float most = 0;
    for (const auto& table : tables) most = std::max(most, largest(table));
    // A power of two, so that only the entries are rounded.
    const float unit = most > 0 ? std::ldexp(1.0f, std::ilogb(most)) : 1.0f;
    u.u32(std::bit_cast<uint32_t>(unit));
    for (const auto& table : tables) {
      for (const float v : table) e.u16(f16_from_float(v / unit));
    }
  }
  return std::make_shared<Codebook>(shape, Buffer(std::move(units)), Buffer(std::move(entries)));
}

void Codebook::write(BodyWriter& to) const {
  to.array(units_.bytes);
  to.array(entries_.bytes);
}

std::shared_ptr<const Codebook> Codebook::read(CodebookShape shape, BodyReader& in) {
  Buffer units = in.array(units_size(shape));
  Buffer entries = in.array(entries_size(shape));
  return std::make_shared<Codebook>(shape, std::move(units), std::move(entries));
}

uint64_t runs_of(const CodebookParameters& p, Shape shape) {
  return ceil_divided(shape.cols, p.codebook.dim);
}

uint64_t blocks_of(const CodebookParameters& p, Shape shape) {
  if (shape.size() == 0) return 0;
  const uint64_t down = p.rows == 0 ? 1 : ceil_divided(shape.rows, p.rows);
  return checked_mul(down, p.columns == 0 ? 1 : ceil_divided(shape.cols, p.columns));
}

CodebookForm::CodebookForm(Shape shape, const CodebookParameters& parameters,
                           std::shared_ptr<const Codebook> codebook, Buffer scales, Buffer codes)
    : TiledForm(shape),
      parameters_(parameters),
      runs_(runs_of(parameters, shape)),
      codebook_(std::move(codebook)),
      scales_(shape, parameters.scales, std::move(scales)),
      codes_(checked_mul(checked_mul(shape.rows, runs_), parameters.codebook.stages),
             parameters.codebook.bits(), std::move(codes)) {
  parameters_.codebook.blocks = blocks_of(parameters, shape);
  if (codebook_->shape() != parameters_.codebook)
    fail(ErrorKind::kData, "codebook: not the codebook that the codes are for");
}

uint64_t CodebookForm::block_of(uint64_t row, uint64_t column) const {
  const CodebookParameters& p = parameters_;
  const uint64_t across = p.columns == 0 ? 1 : ceil_divided(shape().cols, p.columns);
  return (p.rows == 0 ? 0 : row / p.rows * across) + (p.columns == 0 ? 0 : column / p.columns);
}

uint64_t CodebookForm::left_in_block(uint64_t column) const {
  const uint64_t rest = shape().cols - column, width = parameters_.columns;
  return width == 0 ? rest : std::min(rest, width - column % width);
}

void CodebookForm::decode_tile(uint64_t row, uint64_t begin, uint64_t n, float* out) const {
  for (uint64_t i = 0; i < n;) {
    const uint64_t some = std::min(n - i, left_in_block(begin + i));
    decode_run(row, begin + i, some, out + i);
    i += some;
  }
}

// All in one block of the codebook.
void CodebookForm::decode_run(uint64_t row, uint64_t begin, uint64_t n, float* out) const {
  const CodebookShape& s = parameters_.codebook;
  const uint64_t block = block_of(row, begin), run = begin / s.dim;
  constexpr uint64_t kTogether = 256;
  std::array<uint16_t, kTogether> codes;
  for (uint64_t stage = 0; stage < s.stages; ++stage) {
    const float* table = codebook_->table(block, stage);
    const uint64_t first = (row * s.stages + stage) * runs_ + run;
    if (s.dim == 1 && s.stages == 1 && s.bits() <= kMostRegisterBits && first % kCodeBlock == 0) {
      look_up_scalars(codes_.block(first), s.bits(), table, n, out);
      return;
    }
    for (uint64_t at = 0; at < n; at += kTogether * s.dim) {
      const uint64_t some = std::min(n - at, kTogether * s.dim);
      codes_.get(first + at / s.dim, ceil_divided(some, s.dim), codes.data());
      look_up_vectors({table, s.dim}, codes.data(), some, stage > 0, out + at);
    }
  }
}

bool CodebookForm::uses_tables(uint64_t batch) const {
  const CodebookShape& s = parameters_.codebook;
  return batch == 1 && parameters_.rows == 0 && s.bits() <= 8 && s.dim > 1 &&
         shape().rows >= 4 * s.size;
}

void CodebookForm::prepare(Activations& x) const {
  if (!uses_tables(x.batch())) return;
  x.derive(*this, [&](MatrixView vectors) {
    const CodebookShape& s = parameters_.codebook;
    Matrix products({1, s.stages * runs_ * s.named()});
    float* to = products.values.data();
    for (uint64_t stage = 0; stage < s.stages; ++stage) {
      for (uint64_t run = 0; run < runs_; ++run, to += s.named()) {
        const uint64_t at = run * s.dim;
        entry_products({codebook_->table(block_of(0, at), stage), s.dim}, s.named(),
                       vectors.data + at, std::min(s.dim, shape().cols - at), to);
      }
    }
    return products;
  });
}

void CodebookForm::multiply(const Activations& x, uint64_t first, uint64_t last, float* out,
                            uint64_t stride) const {
  if (!uses_tables(x.batch())) return TiledForm::multiply(x, first, last, out, stride);
  multiply_tables(x.derived(*this).vectors().data, first, last, out);
}

// Some runs of all rows at a time, so that the products of these runs stay in cache.
void CodebookForm::multiply_tables(const float* tables, uint64_t first, uint64_t last,
                                   float* out) const {
  const CodebookShape& s = parameters_.codebook;
  const uint64_t of_row = s.stages * runs_, entries = s.named(), rows = last - first;
  const uint64_t most = std::max<uint64_t>(1, kTableBytes / (entries * sizeof(float)));
  const bool scaled = scales_.groups().length != ScaleGroups::kNone;
  thread_local std::vector<uint8_t> unpacked;
  const uint64_t skip = first * of_row % kCodeBlock;
  const uint64_t blocks = ceil_divided(skip + rows * of_row, kCodeBlock);
  unpacked.resize(blocks * kCodeBlock);
  unpack_code_blocks(codes_.block(first * of_row - skip), s.bits(), blocks, unpacked.data());
  const uint8_t* codes = unpacked.data() + skip;
  std::vector<float> sums(rows);
  std::fill_n(out, rows, 0.0f);
  for (uint64_t run = 0; run < runs_;) {
    const uint64_t in_group = ceil_divided(scales_.groups().left(shape(), run * s.dim), s.dim);
    const uint64_t some = std::min(most, in_group);
    std::ranges::fill(sums, 0.0f);
    for (uint64_t stage = 0; stage < s.stages; ++stage) {
      const uint64_t at = stage * runs_ + run;
      add_products({tables + at * entries, entries, some}, codes + at, of_row, rows, sums.data());
    }
    for (uint64_t r = 0; r < rows; ++r)
      out[r] += scaled ? scales_.at(first + r, run * s.dim) * sums[r] : sums[r];
    run += some;
  }
}

void CodebookForm::write_body(BodyWriter& to) const {
  const CodebookParameters& p = parameters_;
  to.varint(p.codebook.size);
  to.varint(p.codebook.dim);
  to.varint(p.codebook.stages);
  to.varint(p.codebook.type == DType::kI8);
  to.varint(p.rows);
  to.varint(p.columns);
  to.varint(p.additive);
  p.scales.write(to);
  codebook_->write(to);
  scales_.write(to);
  to.array(codes_.stored().bytes);
}

FormPtr CodebookForm::read(Shape shape, BodyReader& in) {
  CodebookParameters p;
  p.codebook.size = in.varint(2, 65536, "codebook size");
  p.codebook.dim = in.varint(1, 256, "codebook dim");
  p.codebook.stages = in.varint(1, 16, "stages");
  p.codebook.type = in.varint(0, 1, "type of entries") ? DType::kI8 : DType::kF16;
  p.rows = in.varint(0, kMostElements, "rows of a codebook");
  p.columns = in.varint(0, kMostElements, "columns of a codebook");
  p.additive = in.varint(0, 1, "additive") != 0;
  p.scales = ScaleGroups::read(in);
  const auto whole_runs = [&](uint64_t n) { return n > kMostElements || n % p.codebook.dim == 0; };
  if (!whole_runs(p.columns) || !whole_runs(p.scales.length) ||
      (p.additive && p.codebook.stages < 2))
    in.bad("a codebook that cannot be");
  p.codebook.blocks = blocks_of(p, shape);
  auto codebook = Codebook::read(p.codebook, in);
  Buffer scales = in.array(checked_mul(p.scales.count(shape), scale_bytes(p.scales.type)));
  const uint64_t n = checked_mul(checked_mul(shape.rows, runs_of(p, shape)), p.codebook.stages);
  Buffer codes = in.array(CodeStream::bytes(n, p.codebook.bits()));
  return std::make_shared<CodebookForm>(shape, p, std::move(codebook), std::move(scales),
                                        std::move(codes));
}

}  // namespace pith::form
