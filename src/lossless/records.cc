// Records: arrays of small structures, as the block-quantized types of GGML are. Scales and
// quants have nothing to do with each other, so each field becomes a stream of its own.

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "block.h"

namespace pith::lossless {
namespace {

struct Field {
  uint8_t bytes;
  DType dtype;
};

constexpr DType F16 = DType::kF16, U8 = DType::kU8;

// Field layouts of GGML's blocks, in the order of their bytes (ggml-common.h's structures).
std::vector<Field> fields_of(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0:
      return {{2, F16}, {16, U8}};
    case DType::kQ4_1:
      return {{2, F16}, {2, F16}, {16, U8}};
    case DType::kQ5_0:
      return {{2, F16}, {4, U8}, {16, U8}};
    case DType::kQ5_1:
      return {{2, F16}, {2, F16}, {4, U8}, {16, U8}};
    case DType::kQ8_0:
      return {{2, F16}, {32, U8}};
    case DType::kQ8_1:
      return {{2, F16}, {2, F16}, {32, U8}};
    case DType::kQ2_K:
      return {{16, U8}, {64, U8}, {2, F16}, {2, F16}};
    case DType::kQ3_K:
      return {{32, U8}, {64, U8}, {12, U8}, {2, F16}};
    case DType::kQ4_K:
      return {{2, F16}, {2, F16}, {12, U8}, {128, U8}};
    case DType::kQ5_K:
      return {{2, F16}, {2, F16}, {12, U8}, {32, U8}, {128, U8}};
    case DType::kQ6_K:
      return {{128, U8}, {64, U8}, {16, U8}, {2, F16}};
    case DType::kQ8_K:
      return {{4, DType::kF32}, {128, U8}, {128, U8}, {32, DType::kI16}};
    case DType::kIQ2_XXS:
      return {{2, F16}, {64, U8}};
    case DType::kIQ2_XS:
      return {{2, F16}, {64, U8}, {8, U8}};
    case DType::kIQ3_XXS:
      return {{2, F16}, {64, U8}, {32, U8}};
    case DType::kIQ1_S:
      return {{2, F16}, {32, U8}, {16, U8}};
    case DType::kIQ4_NL:
      return {{2, F16}, {16, U8}};
    case DType::kIQ3_S:
      return {{2, F16}, {64, U8}, {8, U8}, {32, U8}, {4, U8}};
    case DType::kIQ2_S:
      return {{2, F16}, {64, U8}, {8, U8}, {8, U8}};
    case DType::kIQ4_XS:
      return {{2, F16}, {2, U8}, {4, U8}, {128, U8}};
    case DType::kIQ1_M:
      return {{32, U8}, {16, U8}, {8, U8}};
    case DType::kTQ1_0:
      return {{48, U8}, {4, U8}, {2, F16}};
    case DType::kTQ2_0:
      return {{64, U8}, {2, F16}};
    case DType::kMXFP4:
      return {{1, U8}, {16, U8}};
    case DType::kNVFP4:
      return {{4, U8}, {32, U8}};
    default:
      return {};
  }
}

uint64_t record_bytes(const std::vector<Field>& fields) {
  return std::accumulate(fields.begin(), fields.end(), uint64_t{0},
                         [](uint64_t sum, const Field& f) { return sum + f.bytes; });
}

std::vector<Field> read_fields(ByteReader& in) {
  std::vector<Field> fields(in.u8());
  for (Field& f : fields) {
    f.bytes = in.u8();
    const DTypeInfo* type = find_dtype(in.u8());
    if (f.bytes == 0 || !type) in.bad("a record field that cannot be");
    f.dtype = type->dtype;
  }
  if (fields.empty()) in.bad("records without fields");
  return fields;
}

// Copies one field of every record, `from` and `to` with their distances between records.
void copy_field(const uint8_t* from, uint64_t from_step, uint8_t* to, uint64_t to_step,
                uint64_t bytes, uint64_t records) {
  const auto copy = [&](auto constant) {
    for (uint64_t i = 0; i < records; ++i) {
      std::memcpy(to + i * to_step, from + i * from_step, constant);
    }
  };
  switch (bytes) {  // fixed sizes become a load and a store
    case 1:
      return copy(std::integral_constant<uint64_t, 1>{});
    case 2:
      return copy(std::integral_constant<uint64_t, 2>{});
    case 4:
      return copy(std::integral_constant<uint64_t, 4>{});
    case 16:
      return copy(std::integral_constant<uint64_t, 16>{});
    case 32:
      return copy(std::integral_constant<uint64_t, 32>{});
    default:
      return copy(bytes);
  }
}

}  // namespace

void encode_records(ByteView raw, DType dtype, Level level, int depth, Bytes& out) {
  const std::vector<Field> fields = fields_of(dtype);
  const uint64_t step = record_bytes(fields), records = raw.size() / step;
  ByteWriter w(out);
  w.u8(static_cast<uint8_t>(fields.size()));
  for (const Field& f : fields) {
    w.u8(f.bytes);
    w.u8(static_cast<uint8_t>(f.dtype));
  }
  Bytes column;
  uint64_t at = 0;
  for (const Field& f : fields) {
    column.resize(records * f.bytes);
    copy_field(raw.data() + at, step, column.data(), f.bytes, f.bytes, records);
    append_sized_block(column, {f.dtype, f.bytes / info(f.dtype).block_bytes, false}, level, depth,
                       out);
    at += f.bytes;
  }
}

void decode_records(ByteReader& in, MutableByteView raw, int depth) {
  const std::vector<Field> fields = read_fields(in);
  const uint64_t step = record_bytes(fields), records = raw.size() / step;
  if (raw.size() % step != 0) in.bad("records do not fill the block");
  Bytes column;
  uint64_t at = 0;
  for (const Field& f : fields) {
    column.resize(records * f.bytes);
    decode_nested(in.bytes(in.varint()), {}, column, depth);
    copy_field(column.data(), f.bytes, raw.data() + at, step, f.bytes, records);
    at += f.bytes;
  }
}

std::string explain_records(ByteReader& in, int depth) {
  std::string text = "records(";
  for (const Field& f : read_fields(in)) {
    text += fmt::format("{}{}B: ", text.back() == '(' ? "" : "; ", f.bytes);
    text += explain_nested(in.bytes(in.varint()), depth);
  }
  return text + ")";
}

}  // namespace pith::lossless
