#include "form_job.h"

#include <algorithm>
#include <cmath>

#include "pith/base/float_elements.h"
#include "producer.h"

namespace pith::archive {
namespace {

// Elements of tensors that are encoded at a time; each takes some 4 to 16 bytes meanwhile.
constexpr uint64_t kMostElements = uint64_t{1} << 28;
// Bytes that are compared at a time.
constexpr uint64_t kTile = 1 << 20;

// A thread that waits for an inner loop may take another job meanwhile; it must not wait for
// itself.
thread_local int passes_held = 0;

std::string first_line(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

// Where there is NaN or infinity that was a number, or the reverse.
void refuse_lost(const FormRecord& record, uint64_t at, uint64_t cols, float was, float is) {
  // NaN has no sign that means something.
  const auto without_sign = [](float v) { return std::isnan(v) ? std::fabs(v) : v; };
  fail(ErrorKind::kData, "{} makes {} of {} (row {}, column {})", record.info.expression,
       without_sign(is), without_sign(was), at / cols, at % cols);
}

// Differences of what was there to what will be read.
void measure(const FormElements& elements, const form::Matrix& matrix, FormRecord& record) {
  const std::vector<float>& original = matrix.values;
  const uint64_t width = elements.size() / original.size(), cols = matrix.shape.cols;
  double squares = 0, differences = 0, largest = 0;
  Bytes raw;
  std::vector<float> back;
  for (uint64_t at = 0; at < original.size();) {
    const uint64_t n = std::min<uint64_t>(kTile / width, original.size() - at);
    raw.resize(n * width);
    back.resize(n);
    elements.read(at * width, raw);
    floats_from(raw, record.dtype, record.big_endian, back.data());
    for (uint64_t i = 0; i < n; ++i) {
      const double w = original[at + i], d = w - back[i];
      if (!std::isfinite(w) || !std::isfinite(back[i])) {
        const bool kept = w == back[i] || (std::isnan(w) && std::isnan(back[i]));
        if (!kept) refuse_lost(record, at + i, cols, original[at + i], back[i]);
        continue;
      }
      squares += w * w;
      differences += d * d;
      largest = std::max(largest, std::fabs(d));
    }
    at += n;
  }
  record.info.error = differences == 0 ? 0 : differences / squares;
  record.info.max_error = largest;
}

// Forms hold floats: an infinity among them must be one in the file, too.
void refuse_beyond_floats(const io::TensorRegion& t, ByteView raw, const form::Matrix& matrix) {
  if (t.dtype != DType::kF64) return;
  Bytes back(sizeof(double));
  for (uint64_t i = 0; i < matrix.values.size(); ++i) {
    if (!std::isinf(matrix.values[i])) continue;
    elements_from({&matrix.values[i], 1}, t.dtype, t.big_endian, back);
    if (std::ranges::equal(back, raw.subspan(i * back.size(), back.size()))) continue;
    fail(ErrorKind::kData, "a number beyond the range of floats (row {}, column {})",
         i / matrix.shape.cols, i % matrix.shape.cols);
  }
}

Bytes make_payload(FormTask& task, ByteView raw) {
  const io::TensorRegion& t = task.tensor;
  const bool split = task.fitted && is_matrix_of(task.fitted->shape(), t);
  form::Matrix matrix(split ? task.fitted->shape() : matrix_shape(t));
  floats_from(raw, t.dtype, t.big_endian, matrix.values.data());
  refuse_beyond_floats(t, raw, matrix);
  Bytes payload;
  {
    const form::FormPtr form =
        task.fitted ? std::move(task.fitted) : form::encode(*task.expression, matrix.view());
    if (form->shape() != matrix.shape) {
      fail(ErrorKind::kUsage, "{}: the form has another shape than the tensor", t.name);
    }
    task.record.info.expression = form::to_string(form->expression());
    payload = form_payload(task.record, form::write(*form));
  }
  const FormPayload stored = read_form_payload(payload);
  const FormElements elements(form::read(stored.form, nullptr), task.record, t.size);
  measure(elements, matrix, task.record);
  replace_record(task.record, payload);
  return payload;
}

// The frames of a tensor that stays as it is, of the same job.
void fall_back(Job& job, const WriteOptions& options, std::string why) {
  FormTask& task = *job.form;
  task.refusal = std::move(why);
  io::TensorRegion alone = task.tensor;
  alone.offset = 0;
  for (const Unit& unit : plan_units({&alone, 1}, alone.size, options.level)) {
    auto part = std::make_unique<Job>();
    part->header = job.header;
    part->header.kind = FrameKind::kData;
    part->header.offset = task.tensor.offset + unit.offset;
    part->header.raw = unit.size;
    part->raw = {job.raw.bytes.subspan(unit.offset, unit.size), job.raw.owner};
    part->runs = {{unit.size, unit.content, false}};
    part->based = job.based;
    part->source = job.source;
    part->hashed_last = true;
    code_job(*part, options);
    task.instead.push_back(std::move(part));
  }
}

}  // namespace

MemoryGate::Pass::Pass(MemoryGate& gate, uint64_t elements)
    : gate_(gate), elements_(elements), within_(passes_held++ > 0) {
  if (within_) return;
  std::unique_lock lock(gate_.mutex_);
  gate_.left_.wait(lock, [&] {
    return gate_.elements_ == 0 ||
           (elements_ <= kMostElements && gate_.elements_ <= kMostElements - elements_);
  });
  gate_.elements_ += elements_;
}

MemoryGate::Pass::~Pass() {
  --passes_held;
  if (within_) return;
  {
    std::lock_guard lock(gate_.mutex_);
    gate_.elements_ -= elements_;
  }
  gate_.left_.notify_all();
}

void code_form(Job& job, const WriteOptions& options, MemoryGate& gate) {
  const Stopwatch watch;
  FormTask& task = *job.form;
  const io::TensorRegion& t = task.tensor;
  task.record = {t.dtype, t.big_endian, {}};
  Bytes payload;
  if (task.stored) {
    task.record.info = task.stored->info;
    payload = form_payload(task.record, task.stored->bytes.bytes);
  } else {
    const form::Shape shape = matrix_shape(t);
    const MemoryGate::Pass pass(gate, shape.size());
    try {
      payload = make_payload(task, job.raw.bytes);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kData && e.kind() != ErrorKind::kUsage) throw;
      fall_back(job, options, first_line(e.what()));
      job.coding = watch.seconds();
      return;
    }
    job.raw = {};
  }
  Bytes& kept = job.reference ? task.bytes : job.payload;
  kept = std::move(payload);
  const FormPayload stored = read_form_payload(kept);
  task.record.info.bytes = stored.form.size();
  task.elements =
      std::make_shared<FormElements>(form::read(stored.form, nullptr), task.record, t.size);
  job.coding = watch.seconds();
}

}  // namespace pith::archive
