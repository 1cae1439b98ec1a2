// Choosing the exponents that get codes, and packing them.
#include <algorithm>
#include <bit>

#include "exponent.h"

namespace pith::form {
namespace {

using Counts = std::array<uint64_t, 256>;

uint16_t rotated(const uint8_t* element) { return std::rotl(load_le<uint16_t>(element), 1); }

// Tables for every so many rows, made as the rows go by.
class TableMaker {
 public:
  explicit TableMaker(uint64_t table_rows) { made_.table_rows = table_rows; }

  void add(const Counts& row) {
    for (size_t e = 0; e < row.size(); ++e) counts_[e] += row[e];
    if (++rows_ == made_.table_rows) finish();
  }

  ExponentTables take() {
    if (rows_ > 0) finish();
    return std::move(made_);
  }

 private:
  void finish() {
    std::array<uint8_t, 256> order;
    int used = 0;
    for (size_t e = 0; e < counts_.size(); ++e) {
      if (counts_[e] != 0) order[static_cast<size_t>(used++)] = static_cast<uint8_t>(e);
    }
    const int kept = std::min(used, kEscape);
    std::partial_sort(order.begin(), order.begin() + kept, order.begin() + used,
                      [&](uint8_t a, uint8_t b) {
                        return counts_[a] != counts_[b] ? counts_[a] > counts_[b] : a < b;
                      });
    std::array<uint8_t, kTableBytes> table{};
    std::copy_n(order.begin(), kept, table.begin());
    made_.tables.insert(made_.tables.end(), table.begin(), table.end());
    for (int i = kept; i < used; ++i) made_.escapes += counts_[order[static_cast<size_t>(i)]];
    counts_.fill(0);
    rows_ = 0;
  }

  ExponentTables made_;
  Counts counts_{};
  uint64_t rows_ = 0;
};

// Codes of each exponent under a table.
std::array<uint8_t, 256> codes_of(const uint8_t* table) {
  std::array<uint8_t, 256> codes;
  codes.fill(kEscape);
  for (int i = kEscape - 1; i >= 0; --i) codes[table[i]] = static_cast<uint8_t>(i);
  return codes;
}

// n elements of a block; what is missing at its end is zero, in code and low byte.
template <bool kHalf>
void pack(const uint8_t* elements, uint64_t n, const std::array<uint8_t, 256>& code_of,
          uint8_t* low, uint8_t* codes, Bytes& escapes) {
  static constexpr auto kColumns = columns_of_places(kHalf);
  uint64_t third = 0;
  uint8_t* pairs = kHalf ? codes + 32 : codes;
  for (uint64_t p = 0; p < kExponentBlock; ++p) {
    if (kColumns[p] >= n) continue;
    const uint16_t element = rotated(elements + 2 * kColumns[p]);
    const auto exponent = static_cast<uint8_t>(element >> 8 & exponent_mask(kHalf));
    const uint8_t code = code_of[exponent];
    if (code == kEscape) escapes.push_back(exponent);
    low[p] = static_cast<uint8_t>(element);
    pairs[p % 16] = static_cast<uint8_t>(pairs[p % 16] | (code & 3) << (p / 16 * 2));
    if constexpr (kHalf) {
      const int nibble = (code >> 2 << 3) | (element >> 8 & 7);
      codes[p % 32] = static_cast<uint8_t>(codes[p % 32] | nibble << (p / 32 * 4));
    } else {
      third |= static_cast<uint64_t>(code >> 2) << p;
    }
  }
  if constexpr (!kHalf) store_le(codes + 16, third);
}

template <bool kHalf>
void pack_row(const uint8_t* elements, uint64_t cols, const uint8_t* table, uint8_t* to,
              Bytes& escapes) {
  const auto code_of = codes_of(table);
  const uint64_t blocks = (cols + kExponentBlock - 1) / kExponentBlock;
  for (uint64_t group = 0; group < blocks; group += kGroupBlocks) {
    const uint64_t n = std::min(kGroupBlocks, blocks - group);
    uint8_t* codes = to + n * kExponentBlock;
    for (uint64_t i = 0; i < n; ++i) {
      const uint64_t column = (group + i) * kExponentBlock;
      pack<kHalf>(elements + 2 * column, std::min(kExponentBlock, cols - column), code_of,
                  to + i * kExponentBlock, codes + i * code_bytes(kHalf), escapes);
    }
    to = codes + n * code_bytes(kHalf);
  }
}

}  // namespace

ExponentTables choose_exponent_tables(const DenseForm& dense) {
  const auto [rows, cols] = dense.shape();
  const uint8_t mask = exponent_mask(dense.type() == DType::kF16);
  TableMaker all(rows), some(std::min<uint64_t>(rows, 16)), each(1);
  const uint8_t* p = dense.values().data();
  for (uint64_t r = 0; r < rows; ++r) {
    Counts counts{};
    for (uint64_t c = 0; c < cols; ++c, p += 2) ++counts[rotated(p) >> 8 & mask];
    for (TableMaker* maker : {&all, &some, &each}) maker->add(counts);
  }
  ExponentTables best = all.take();
  for (TableMaker* maker : {&some, &each}) {
    ExponentTables other = maker->take();
    if (other.tables.size() + other.escapes < best.tables.size() + best.escapes)
      best = std::move(other);
  }
  return best;
}

ExponentForm::Arrays exponent_codes(const DenseForm& dense, const ExponentTables& tables) {
  const auto [rows, cols] = dense.shape();
  const bool half = dense.type() == DType::kF16;
  const uint64_t row_bytes = exponent_row_bytes(cols, half);
  Bytes starts, blocks(checked_mul(rows, row_bytes)), escapes;
  escapes.reserve(tables.escapes + kEscapePadding);
  for (uint64_t r = 0; r < rows; ++r) {
    ByteWriter(starts).u32(static_cast<uint32_t>(escapes.size()));
    const uint8_t* elements = dense.values().data() + 2 * r * cols;
    const uint8_t* table = tables.tables.data() + r / tables.table_rows * kTableBytes;
    uint8_t* to = blocks.data() + r * row_bytes;
    half ? pack_row<true>(elements, cols, table, to, escapes)
         : pack_row<false>(elements, cols, table, to, escapes);
  }
  escapes.resize(escapes.size() + kEscapePadding);
  ExponentForm::Arrays arrays;
  arrays.half = half;
  arrays.table_rows = tables.table_rows;
  arrays.tables = Buffer(tables.tables);
  arrays.starts = Buffer(std::move(starts));
  arrays.blocks = Buffer(std::move(blocks));
  arrays.escapes = Buffer(std::move(escapes));
  return arrays;
}

}  // namespace pith::form
