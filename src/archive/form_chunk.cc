#include "form_chunk.h"

#include <algorithm>

#include "pith/base/float_elements.h"
#include "pith/form/transpose.h"

namespace pith::archive {
namespace {

// Floats that are decoded at a time, if a row is not longer.
constexpr uint64_t kTile = 64 << 10;

Bytes head_of(const FormRecord& record) {
  const Bytes body = write_form_record(record);
  Bytes head;
  ByteWriter w(head);
  w.varint(body.size());
  w.bytes(body);
  head.resize(round_up(head.size()));
  return head;
}

uint64_t varint_size(uint64_t v) {
  uint64_t n = 1;
  for (; v > 0x7F; v >>= 7) ++n;
  return n;
}

}  // namespace

Bytes form_payload(const FormRecord& record, ByteView form) {
  Bytes payload = head_of(record);
  payload.insert(payload.end(), form.begin(), form.end());
  return payload;
}

void replace_record(const FormRecord& record, Bytes& payload) {
  std::ranges::copy(head_of(record), payload.begin());
}

uint64_t form_bytes(uint64_t payload, uint64_t record) {
  const uint64_t head = round_up(checked_add(varint_size(record), record));
  if (head >= payload) fail(ErrorKind::kData, "a form of no bytes");
  return payload - head;
}

FormPayload read_form_payload(ByteView payload) {
  ByteReader r(payload, "FORM frame");
  const ByteView record = r.bytes(r.varint());
  FormPayload out{read_form_record(record), {}};
  const ByteView padding = r.bytes(round_up(r.offset()) - r.offset());
  if (std::ranges::any_of(padding, [](uint8_t b) { return b != 0; })) {
    r.bad("padding that is not zero");
  }
  out.form = payload.subspan(r.offset());
  out.record.info.bytes = out.form.size();
  return out;
}

FormElements::FormElements(form::FormPtr form, const FormRecord& record, uint64_t raw)
    : form_(std::move(form)),
      dtype_(record.dtype),
      big_endian_(record.big_endian),
      row_bytes_(checked_mul(form_->shape().cols, info(dtype_).block_bytes)),
      at_once_(form::transposed(*form_) != nullptr) {
  const form::Shape shape = form_->shape();
  if (raw == 0 || checked_mul(row_bytes_, shape.rows) != raw) {
    fail(ErrorKind::kData, "a form of {} x {} {} elements for a tensor of {} bytes", shape.rows,
         shape.cols, info(dtype_).name, raw);
  }
}

uint64_t FormElements::scratch() const {
  const uint64_t tile = std::max(form_->shape().cols, kTile) * sizeof(float);
  return at_once_ ? tile + checked_mul(form_->shape().size(), sizeof(float)) : tile;
}

void FormElements::decode(uint64_t first, uint64_t last, float* out) const {
  if (!at_once_) return form_->decode(first, last, out);
  std::call_once(made_, [&] { whole_ = form::decode(*form_).values; });
  const auto cols = static_cast<std::ptrdiff_t>(form_->shape().cols);
  std::copy(whole_.begin() + static_cast<std::ptrdiff_t>(first) * cols,
            whole_.begin() + static_cast<std::ptrdiff_t>(last) * cols, out);
}

void FormElements::read(uint64_t skip, MutableByteView out) const {
  const uint64_t cols = form_->shape().cols, tile = std::max<uint64_t>(kTile / cols, 1);
  std::vector<float> floats;
  Bytes edge;
  while (!out.empty()) {
    const uint64_t row = skip / row_bytes_, within = skip % row_bytes_;
    const uint64_t whole = within == 0 ? std::min(out.size() / row_bytes_, tile) : 0;
    const uint64_t rows = std::max<uint64_t>(whole, 1);
    floats.resize(rows * cols);
    decode(row, row + rows, floats.data());
    uint64_t done = whole * row_bytes_;
    if (whole > 0) {
      elements_from(floats, dtype_, big_endian_, out.first(done));
    } else {
      edge.resize(row_bytes_);
      elements_from(floats, dtype_, big_endian_, edge);
      done = std::min<uint64_t>(out.size(), row_bytes_ - within);
      std::ranges::copy(ByteView(edge).subspan(within, done), out.begin());
    }
    out = out.subspan(done);
    skip += done;
  }
}

}  // namespace pith::archive
