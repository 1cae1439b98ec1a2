#include "export_tensor.h"

#include <algorithm>

#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/io/text.h"
#include "pith/model/tensor_names.h"

namespace pith::model {
namespace {

// Elements that one thread decodes and encodes at a time.
constexpr uint64_t kStripe = 1 << 20;

uint64_t source_row(uint64_t row, uint32_t head_size) {
  return head_size == 0 ? row : halved_row(row, head_size);
}

void write_kept(const ExportTensor::Part& part, const std::function<void(ByteView)>& write) {
  const ByteView data = part.kept->data.bytes;
  const uint64_t rows = part.form->shape().rows;
  if (part.head_size == 0 || rows == 0) return write(data);
  const uint64_t row_bytes = data.size() / rows;
  Bytes head(row_bytes * part.head_size);
  for (uint64_t first = 0; first < rows; first += part.head_size) {
    for (uint64_t r = 0; r < part.head_size; ++r) {
      const ByteView row =
          data.subspan(source_row(first + r, part.head_size) * row_bytes, row_bytes);
      std::ranges::copy(row, head.begin() + static_cast<ptrdiff_t>(r * row_bytes));
    }
    write(head);
  }
}

struct Stripe {
  uint64_t first, last;  // rows
  Buffer coded;
};

Buffer encode_rows(const ExportTensor::Part& part, DType type, uint64_t first, uint64_t last) {
  form::Matrix rows({last - first, part.form->shape().cols});
  if (part.head_size == 0) {
    part.form->decode(first, last, rows.values.data());
  } else {
    for (uint64_t r = first; r < last; ++r) {
      const uint64_t from = source_row(r, part.head_size);
      part.form->decode(from, from + 1, rows.row(r - first).data());
    }
  }
  return form::to_ggml(type, rows.view());
}

void write_encoded(const ExportTensor::Part& part, DType type, int threads,
                   const std::function<void(ByteView)>& write) {
  const auto [rows, cols] = part.form->shape();
  const uint64_t step = std::max<uint64_t>(1, kStripe / std::max<uint64_t>(1, cols));
  uint64_t at = 0;
  ordered_pipeline<Stripe>(
      threads,
      [&]() -> std::unique_ptr<Stripe> {
        if (at >= rows) return nullptr;
        auto stripe = std::make_unique<Stripe>(Stripe{at, std::min(at + step, rows), {}});
        at = stripe->last;
        return stripe;
      },
      [&](Stripe& s) { s.coded = encode_rows(part, type, s.first, s.last); },
      [&](Stripe& s) { write(s.coded.bytes); });
}

}  // namespace

DType type_for_rows(DType wanted, uint64_t cols) {
  const auto whole = [&](DType type) { return cols % info(type).block_elements == 0; };
  if (whole(wanted)) return wanted;
  DType smaller = DType::kF16;
  switch (wanted) {
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kTQ1_0:
    case DType::kTQ2_0:
    case DType::kIQ4_XS:
      smaller = DType::kIQ4_NL;
      break;
    case DType::kQ4_K:
      smaller = DType::kQ5_0;
      break;
    case DType::kQ5_K:
      smaller = DType::kQ5_1;
      break;
    case DType::kQ6_K:
      smaller = DType::kQ8_0;
      break;
    default:
      break;
  }
  return whole(smaller) ? smaller : DType::kF16;
}

void write_tensor(const ExportTensor& tensor, int threads,
                  const std::function<void(ByteView)>& write) {
  try {
    for (const ExportTensor::Part& part : tensor.parts) {
      if (part.kept) {
        write_kept(part, write);
      } else {
        write_encoded(part, tensor.type, threads, write);
      }
    }
  } catch (const Error& error) {
    // What the writing itself throws names the file.
    if (error.kind() != ErrorKind::kData && error.kind() != ErrorKind::kUsage) throw;
    throw error.in("tensor " + io::in_quotes(tensor.shown));
  }
}

}  // namespace pith::model
