#include "producer.h"

#include <algorithm>
#include <chrono>

namespace pith::archive {
namespace {

// Beyond this many places the table of shared content stops growing (memory is bounded).
constexpr size_t kMaxPlaces = size_t{1} << 22;

void mark_based(Job& job) {
  uint64_t at = job.header.offset;
  for (RunPlan& run : job.runs) {
    run.based = touches_base(*job.based, at, run.size);
    at += run.size;
  }
}

}  // namespace

Stopwatch::Stopwatch() : start_(std::chrono::steady_clock::now().time_since_epoch().count()) {}

double Stopwatch::seconds() const {
  using std::chrono::steady_clock;
  const steady_clock::duration since(steady_clock::now().time_since_epoch().count() - start_);
  return std::chrono::duration<double>(since).count();
}

void code_job(Job& job, const WriteOptions& options) {
  FrameHeader& header = job.header;
  if (header.kind == FrameKind::kData) {
    const Stopwatch watch;
    const ByteView raw = job.raw.bytes;
    header.raw_hash = hash64(raw);
    Bytes base;
    if (options.base) {
      base = base_image(*job.based, header.offset, raw.size(), *options.base);
      mark_based(job);
    }
    job.coded = write_chunk(raw, job.runs, options.level, base, job.payload);
    job.coding = watch.seconds();
  }
  header.stored = job.payload.size();
  header.payload_hash = hash64(job.payload);
}

std::optional<SharedContent::Place> SharedContent::find(const Hash128& hash, uint64_t size) const {
  const auto at = places_.find(hash);
  if (at == places_.end() || at->second.size != size) return std::nullopt;
  return at->second;
}

void SharedContent::insert(const Hash128& hash, const Place& place) {
  if (places_.size() < kMaxPlaces) places_.emplace(hash, place);
}

BaseTensors::BaseTensors(const Base* base) : base_(base) {
  if (!base) return;
  for (size_t f = 0; f < base->file_count(); ++f) {
    for (const io::TensorRegion& t : base->tensors(f)) {
      names_[t.name].emplace_back(static_cast<uint32_t>(f), &t);
    }
  }
}

// Of several with that name the one in the file of the same path; else there must be only one.
std::optional<BasePlace> BaseTensors::find(const std::string& path,
                                           const io::TensorRegion& tensor) const {
  const auto at = names_.find(tensor.name);
  if (at == names_.end() || tensor.size == 0) return std::nullopt;
  std::optional<BasePlace> only;
  size_t matches = 0;
  for (const auto& [file, other] : at->second) {
    if (other->dtype != tensor.dtype || other->shape != tensor.shape ||
        other->size != tensor.size || other->big_endian != tensor.big_endian) {
      continue;
    }
    if (base_->path(file) == path) return BasePlace{file, other->offset};
    only = BasePlace{file, other->offset};
    ++matches;
  }
  return matches == 1 ? only : std::nullopt;
}

Producer::Producer(std::span<const Input> inputs, const WriteOptions& options, uint32_t id)
    : inputs_(inputs),
      options_(options),
      id_(id),
      sizes_(chunk_sizes(options.level)),
      base_tensors_(options.base.get()),
      rules_(options.forms) {
  if (!options.base) return;
  const Packed packed = pack(write_base_record(options.base->record()));
  ready_.push_back(make(FrameKind::kBase, packed));
}

std::unique_ptr<Job> Producer::next() {
  while (ready_.empty() && (in_file_ || file_ < inputs_.size())) step();
  if (ready_.empty()) return nullptr;
  auto job = std::move(ready_.front());
  ready_.pop_front();
  return job;
}

void Producer::step() {
  const Input& input = inputs_[file_];
  if (!in_file_) {
    begin_file();
  } else if (input.source && !input.source->size()) {
    take_stream();
  } else if (unit_ < units_.size()) {
    const Unit& unit = units_[unit_++];
    if (unit.form) return take_form(unit);
    take(unit, get(unit.offset, unit.size));
  } else {
    end_file();
  }
}

FileRecord Producer::describe(const Input& input) {
  tasks_.clear();
  hashed_last_ = false;
  FileRecord record;
  record.path = input.path;
  record.kind = input.source ? EntryKind::kRegular : EntryKind::kDirectory;
  record.mode = (input.source ? input.source->mode() : input.mode) & 0777;
  if (!input.source) return record;
  record.size = input.source->size();
  io::Layout layout = input.source->layout();
  record.format = std::move(layout.format);
  record.metadata = std::move(layout.metadata);
  record.notes = std::move(layout.notes);
  uint64_t end = 0;
  for (io::TensorRegion& t : layout.tensors) {
    const bool sound = t.offset >= end && t.size <= UINT64_MAX - t.offset && record.size &&
                       t.offset + t.size <= *record.size &&
                       tensor_bytes(t.dtype, t.shape) == t.size;
    if (!sound) {
      // The bytes matter more than the table: without it they are stored as plain bytes.
      record.notes.push_back(fmt::format("tensor table not used: '{}' is out of place", t.name));
      record.tensors.clear();
      return record;
    }
    end = t.offset + t.size;
    record.tensors.push_back({std::move(t), std::nullopt});
  }
  for (TensorRecord& t : record.tensors) {
    tasks_.push_back(plan_form(t.region));
    if (tasks_.back()) hashed_last_ = true;
    if (!tasks_.back()) t.base = base_tensors_.find(record.path, t.region);
  }
  return record;
}

std::optional<FormTask> Producer::plan_form(const io::TensorRegion& tensor) const {
  FormTask task;
  task.tensor = tensor;
  task.stored = inputs_[file_].source->form(tensor);
  if (task.stored) return task;
  if (options_.fitted) {
    task.fitted = options_.fitted(inputs_[file_].path, tensor);
    if (task.fitted) {
      task.expression = task.fitted->expression();
      return task;
    }
  }
  const form::Expression* expression = rules_.find(tensor);
  if (!expression) return std::nullopt;
  task.expression = *expression;
  return task;
}

void Producer::begin_file() {
  const Input& input = inputs_[file_];
  FileRecord record = describe(input);
  auto based = std::make_shared<std::vector<BasedTensor>>();
  std::vector<io::TensorRegion> regions;
  for (const TensorRecord& t : record.tensors) {
    regions.push_back(t.region);
    if (t.base) based->push_back({t.region.offset, t.region.size, *t.base});
  }
  auto job = make(FrameKind::kFile, pack(write_file_record(record)));
  based_ = std::move(based);
  std::vector<bool> in_form;
  for (const auto& task : tasks_) in_form.push_back(task.has_value());
  units_ = plan_units(regions, record.size.value_or(0), options_.level, in_form);
  unit_ = 0;
  at_ = 0;
  hasher_ = Hasher128();
  job->record = std::move(record);
  ready_.push_back(std::move(job));
  in_file_ = input.source != nullptr;
  if (!in_file_) ++file_;
}

void Producer::end_file() {
  flush_group();
  flush_reference();
  auto job = make(FrameKind::kEnd);
  job->end = FileEnd{at_, hashed_last_ ? Hash128() : hasher_.digest()};
  job->payload = write_end(*job->end);
  job->header.raw = job->payload.size();
  job->source = inputs_[file_].source;
  ready_.push_back(std::move(job));
  in_file_ = false;
  ++file_;
}

void Producer::take_stream() {
  Buffer piece = get(at_, sizes_.plain);
  const uint64_t size = piece.bytes.size();
  if (size > 0) take({at_, size, {}, true}, std::move(piece));
  if (size < sizes_.plain) end_file();
}

Buffer Producer::get(uint64_t offset, uint64_t size) {
  const Stopwatch watch;
  const Input& input = inputs_[file_];
  Buffer piece = input.source->get(offset, size);
  if (input.source->size() && piece.bytes.size() != size) {
    fail(ErrorKind::kIo, "{}: became shorter while it was being read", input.path);
  }
  reading_ += watch.seconds();
  return piece;
}

void Producer::take(const Unit& unit, Buffer piece) {
  const Stopwatch watch;
  if (!hashed_last_) hasher_.update(piece.bytes);
  const bool repeated = unit.size >= kShareable && share(unit, piece);
  hashing_ += watch.seconds();
  at_ = unit.offset + unit.size;
  if (repeated) return;
  if (unit.alone || group_size_ + unit.size > sizes_.tensor) flush_group();
  flush_reference();
  if (unit.alone)
    return emit_data(unit.offset, std::move(piece), {{unit.size, unit.content, false}});
  if (group_.empty()) group_at_ = unit.offset;
  group_.push_back({unit.size, unit.content, false});
  group_size_ += unit.size;
}

// A tensor that gets a form is encoded even when an equal one was: what the file then reads as is
// hashed in order, and the earlier form is written and gone.
void Producer::take_form(const Unit& unit) {
  flush_group();
  flush_reference();
  auto job = make(FrameKind::kForm);
  job->header.raw = unit.size;
  job->header.offset = unit.offset;
  job->form = std::make_unique<FormTask>(std::move(*tasks_[*unit.form]));
  if (job->form->expression) job->raw = get(unit.offset, unit.size);
  job->based = based_;
  job->source = inputs_[file_].source;
  if (const auto place = find_form(*job->form, job->raw)) {
    job->header.kind = FrameKind::kRef;
    job->reference = Reference{place->file, place->offset};
    job->payload = write_reference(*job->reference);
  }
  at_ = unit.offset + unit.size;
  ready_.push_back(std::move(job));
}

// The place of an equal tensor in the same form. Bytes decide where a form is to be made; of forms
// that are there the hash of their bytes does.
std::optional<SharedContent::Place> Producer::find_form(const FormTask& task, const Buffer& piece) {
  const io::TensorRegion& t = task.tensor;
  // Equal tensors may have been fitted differently.
  if (task.fitted || t.size < kShareable || !inputs_[file_].source->rereadable()) return std::nullopt;
  const Stopwatch watch;
  Bytes key;
  ByteWriter w(key);
  w.bytes(hash128(task.stored ? task.stored->bytes.bytes : piece.bytes).bytes);
  w.u8(static_cast<uint8_t>(t.dtype));
  w.u8(t.big_endian);
  for (const uint64_t d : t.shape) w.u64(d);
  if (task.expression) w.string(form::to_string(*task.expression));
  const Hash128 hash = hash128(key);
  const auto place = shared_.find(hash, t.size);
  if (!place) shared_.insert(hash, {static_cast<uint32_t>(file_), t.offset, t.size});
  const bool same = place && (task.stored || equal(*place, piece.bytes));
  hashing_ += watch.seconds();
  return same ? place : std::nullopt;
}

// Turns a unit that was stored before into a reference. The hash only proposes; bytes decide.
bool Producer::share(const Unit& unit, const Buffer& piece) {
  const Hash128 hash = hash128(piece.bytes);
  const auto place = shared_.find(hash, unit.size);
  if (!place || !equal(*place, piece.bytes)) {
    if (!place && inputs_[file_].source->rereadable()) {
      shared_.insert(hash, {static_cast<uint32_t>(file_), unit.offset, unit.size});
    }
    return false;
  }
  flush_group();
  const bool goes_on = !hashed_last_ && repeat_ && repeat_->file == place->file &&
                       repeat_->offset + repeat_->size == place->offset;
  if (goes_on) {
    repeat_->size += place->size;
  } else {
    flush_reference();
    repeat_ = place;
    repeat_at_ = unit.offset;
  }
  if (hashed_last_) repeat_raw_ = piece;
  inputs_[file_].source->release(unit.offset, unit.size);
  return true;
}

bool Producer::equal(const SharedContent::Place& place, ByteView bytes) {
  Source& source = *inputs_[place.file].source;
  const Buffer earlier = source.get(place.offset, place.size);
  const bool same = std::ranges::equal(earlier.bytes, bytes);
  source.release(place.offset, place.size);
  return same;
}

void Producer::flush_group() {
  if (group_.empty()) return;
  emit_data(group_at_, get(group_at_, group_size_), std::move(group_));
  group_.clear();
  group_size_ = 0;
}

void Producer::flush_reference() {
  if (!repeat_) return;
  auto job = make(FrameKind::kRef);
  job->header.raw = repeat_->size;
  job->header.offset = repeat_at_;
  job->reference = Reference{repeat_->file, repeat_->offset};
  job->payload = write_reference(*job->reference);
  job->raw = std::move(repeat_raw_);
  repeat_raw_ = {};
  ready_.push_back(std::move(job));
  repeat_.reset();
}

void Producer::emit_data(uint64_t offset, Buffer raw, std::vector<RunPlan> runs) {
  auto job = make(FrameKind::kData);
  job->header.raw = raw.bytes.size();
  job->header.offset = offset;
  job->raw = std::move(raw);
  job->runs = std::move(runs);
  job->based = based_;
  job->source = inputs_[file_].source;
  ready_.push_back(std::move(job));
}

std::unique_ptr<Job> Producer::make(FrameKind kind) const {
  auto job = std::make_unique<Job>();
  job->header.kind = kind;
  job->header.id = id_;
  job->header.file = static_cast<uint32_t>(file_);
  job->hashed_last = hashed_last_;
  return job;
}

std::unique_ptr<Job> Producer::make(FrameKind kind, Packed packed) const {
  auto job = make(kind);
  job->header.raw = packed.raw;
  job->header.flags = packed.flags;
  job->payload = std::move(packed.payload);
  return job;
}

}  // namespace pith::archive
