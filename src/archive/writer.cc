#include "pith/archive/writer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <unordered_set>

#include "pith/base/file.h"
#include "pith/base/parallel.h"
#include "producer.h"

namespace pith::archive {
namespace {

double cpu_seconds() {
  timespec t;
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The serial tail: frames in order to the sink, and the tables of index and report.
class Emitter {
 public:
  Emitter(const ByteSink& sink, uint64_t total, const Progress& progress)
      : sink_(sink), total_(total), progress_(progress) {}

  void header(const ArchiveHeader& header) {
    id_ = header.id;
    put(write_header(header));
  }

  void base(const BaseRecord& record) { index_.base = record; }

  void consume(Job& job) {
    if (job.form && !job.form->refusal.empty()) return consume_refused(job);
    const uint64_t at = written_;
    if (job.hashed_last) hash(job);
    frame(job.header, job.payload);
    if (job.record) begin_file(std::move(*job.record));
    if (!report_.files.empty()) report_.files.back().stored += written_ - at;
    if (job.header.kind == FrameKind::kData) data(job, at);
    if (job.header.kind == FrameKind::kForm) form(job, at);
    if (job.reference) reference(job, at);
    if (job.end) end_file(job);
    report_.coding += job.coding;
  }

  WriteReport finish() {
    Packed packed = pack(write_index(index_));
    FrameHeader header{FrameKind::kIndex, packed.flags, id_};
    header.stored = packed.payload.size();
    header.raw = packed.raw;
    header.payload_hash = hash64(packed.payload);
    Footer footer{written_, kHeaderSize + header.stored, 0, id_};
    frame(header, packed.payload);
    footer.total = written_ + kHeaderSize;
    put(write_footer(footer));
    flush();
    report_.stored = written_;
    report_.content_hash = content_hash(std::move(digests_));
    return std::move(report_);
  }

 private:
  // Bytes of a form that are decoded at a time to be hashed.
  static constexpr uint64_t kDecoded = 1 << 20;

  // Small pieces are collected, large ones go through as they are.
  static constexpr size_t kBuffer = 1 << 18;

  void put(ByteView bytes) {
    written_ += bytes.size();
    if (buffer_.size() + bytes.size() > kBuffer) flush();
    if (bytes.size() >= kBuffer) {
      send(bytes);
    } else {
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    }
  }

  void flush() {
    send(buffer_);
    buffer_.clear();
  }

  void send(ByteView bytes) {
    const Stopwatch watch;
    if (!bytes.empty()) sink_(bytes);
    report_.writing += watch.seconds();
  }

  void frame(const FrameHeader& header, ByteView payload) {
    Bytes head;
    write_frame_header(header, head);
    put(head);
    put(payload);
    put(Bytes(round_up(payload.size()) - payload.size()));
  }

  // What the file will read as, in order; at its end the hash that is known only now.
  void hash(Job& job) {
    if (job.record) hasher_ = Hasher128();
    if (job.form) {
      Bytes part;
      for (uint64_t at = 0; at < job.header.raw; at += part.size()) {
        part.resize(std::min(kDecoded, job.header.raw - at));
        job.form->elements->read(at, part);
        hasher_.update(part);
      }
    } else {
      hasher_.update(job.raw.bytes);
    }
    if (!job.end) return;
    job.end->hash = hasher_.digest();
    job.payload = write_end(*job.end);
    job.header.payload_hash = hash64(job.payload);
  }

  // A tensor that its form cannot hold.
  void consume_refused(Job& job) {
    FormTask& task = *job.form;
    report_.files.back().notes.push_back(
        fmt::format("{} stays lossless: {}", task.tensor.name, task.refusal));
    report_.coding += job.coding;
    for (const auto& part : task.instead) consume(*part);
  }

  void begin_file(FileRecord record) {
    FileReport& file = report_.files.emplace_back();
    file.path = record.path;
    file.format = record.format;
    file.notes = record.notes;
    for (const TensorRecord& t : record.tensors) {
      file.tensors.push_back(
          {t.region.name, t.region.dtype, t.region.shape, t.region.size, 0, 0, t.base.has_value()});
    }
    next_tensor_ = 0;
    index_.files.push_back({std::move(record), 0, {}, true, {}, {}});
  }

  void data(const Job& job, uint64_t at) {
    const FrameHeader& h = job.header;
    index_.files.back().chunks.push_back({h.offset, h.raw, at, h.stored, 0, 0, ChunkKind::kData});
    uint64_t offset = h.offset;
    for (const CodedRun& run : job.coded) {
      credit(offset, run.raw, [&](TensorReport& tensor, uint64_t bytes) {
        tensor.stored += (run.coded * bytes + run.raw - 1) / run.raw;
      });
      offset += run.raw;
    }
    job.source->release(h.offset, h.raw);
    advance(h.raw);
  }

  void form(const Job& job, uint64_t at) {
    const FrameHeader& h = job.header;
    IndexedFile& file = index_.files.back();
    file.chunks.push_back({h.offset, h.raw, at, h.stored, 0, 0, ChunkKind::kForm,
                           static_cast<uint32_t>(file.forms.size())});
    file.forms.push_back(job.form->record);
    credit(h.offset, h.raw, [&](TensorReport& tensor, uint64_t) {
      tensor.stored += h.stored;
      tensor.form = job.form->record.info;
    });
    ++report_.forms;
    job.source->release(h.offset, h.raw);
    advance(h.raw);
  }

  void reference(const Job& job, uint64_t at) {
    const FrameHeader& h = job.header;
    index_.files.back().chunks.push_back({h.offset, h.raw, at, h.stored, job.reference->offset,
                                          job.reference->file, ChunkKind::kRef});
    credit(h.offset, h.raw, [&](TensorReport& tensor, uint64_t bytes) {
      tensor.shared += bytes;
      if (job.form) tensor.form = job.form->record.info;
    });
    if (job.form) ++report_.forms;
    report_.shared += h.raw;
    advance(h.raw);
  }

  void end_file(const Job& job) {
    job.source->finish();
    IndexedFile& file = index_.files.back();
    file.size = job.end->size;
    file.hash = job.end->hash;
    FileReport& report = report_.files.back();
    report.raw = job.end->size;
    report.hash = job.end->hash;
    report_.raw += job.end->size;
    digests_.push_back({report.path, report.raw, report.hash});
  }

  // Calls give(tensor, bytes) for the tensors in a run; runs come in ascending order.
  template <class Give>
  void credit(uint64_t offset, uint64_t size, const Give& give) {
    const auto& tensors = index_.files.back().record.tensors;
    for (size_t t = next_tensor_; t < tensors.size(); ++t) {
      const io::TensorRegion& r = tensors[t].region;
      if (r.offset >= offset + size) break;
      const uint64_t first = std::max(offset, r.offset);
      const uint64_t last = std::min(offset + size, r.offset + r.size);
      if (first < last) give(report_.files.back().tensors[t], last - first);
      if (r.offset + r.size <= offset + size) next_tensor_ = t + 1;
    }
  }

  void advance(uint64_t raw) { pith::report(progress_, done_ += raw, total_); }

  const ByteSink& sink_;
  uint64_t total_, done_ = 0, written_ = 0;
  const Progress& progress_;
  uint32_t id_ = 0;
  Bytes buffer_;
  Index index_;
  WriteReport report_;
  std::vector<FileDigest> digests_;
  size_t next_tensor_ = 0;
  Hasher128 hasher_;  // of a file that is hashed last
};

void check_inputs(std::span<const Input> inputs, const WriteOptions& options) {
  if (inputs.empty()) fail(ErrorKind::kUsage, "nothing to store");
  if (inputs.size() > UINT32_MAX) fail(ErrorKind::kUsage, "too many files");
  std::unordered_set<std::string_view> paths;
  try {
    for (const Input& input : inputs) check_path(input.path);
    if (options.base) check_path(options.base->record().name);
  } catch (const Error& e) {
    throw Error(ErrorKind::kUsage, e.what());
  }
  for (const Input& input : inputs) {
    if (!paths.insert(input.path).second) {
      fail(ErrorKind::kUsage, "two inputs would be stored as '{}'", input.path);
    }
  }
  if (options.base && options.base->record().depth + 1 > kMaxBaseDepth) {
    fail(ErrorKind::kBase, "the chain of bases would be longer than {}", kMaxBaseDepth);
  }
}

// Tells this archive's frames from those of an archive that is stored in it. A function of the
// input, as every byte is.
uint32_t archive_id(std::span<const Input> inputs, const WriteOptions& options) {
  Bytes seed;
  ByteWriter w(seed);
  w.u8(static_cast<uint8_t>(options.level));
  for (const Input& input : inputs) {
    w.string(input.path);
    w.u64(input.source ? input.source->size().value_or(UINT64_MAX) : 0);
  }
  if (options.base) w.bytes(options.base->record().hash.bytes);
  for (const FormRule& rule : options.forms) {
    w.string(rule.pattern);
    w.string(rule.expression ? form::to_string(*rule.expression) : "");
  }
  return static_cast<uint32_t>(hash64(seed) | 1);
}

// Said in the header, before it is known whether any tensor will be in one.
bool may_have_forms(std::span<const Input> inputs, const WriteOptions& options) {
  return !options.forms.empty() || options.fitted || std::ranges::any_of(inputs, [](const Input& input) {
    return input.source && input.source->has_forms();
  });
}

uint64_t total_size(std::span<const Input> inputs) {
  uint64_t total = 0;
  for (const Input& input : inputs) {
    if (!input.source) continue;
    const auto size = input.source->size();
    if (!size) return 0;
    total += *size;
  }
  return total;
}

}  // namespace

ByteSink fd_sink(int fd) {
  return [fd](ByteView bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(ErrorKind::kIo, "standard output: cannot write: {}", std::strerror(errno));
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
  };
}

WriteReport write_archive(std::span<const Input> inputs, const ByteSink& target,
                          const WriteOptions& options) {
  check_inputs(inputs, options);
  const Stopwatch watch;
  const double cpu = cpu_seconds();
  ArchiveHeader header;
  header.id = archive_id(inputs, options);
  if (options.base) header.required |= kFeatureBase;
  if (may_have_forms(inputs, options)) {
    header.required |= kFeatureForms;
    header.minor = kMinorWithForms;
  }
  Producer producer(inputs, options, header.id);  // refuses rules before anything is written
  MemoryGate gate;
  Emitter emitter(target, total_size(inputs), options.progress);
  emitter.header(header);
  if (options.base) emitter.base(options.base->record());
  ordered_pipeline<Job>(
      thread_count(options.threads), [&] { return producer.next(); },
      [&](Job& job) {
        if (job.form) code_form(job, options, gate);
        code_job(job, options);
      },
      [&](Job& job) { emitter.consume(job); });
  WriteReport report = emitter.finish();
  report.reading = producer.reading();
  report.hashing = producer.hashing();
  report.wall = watch.seconds();
  report.cpu = cpu_seconds() - cpu;
  return report;
}

WriteReport write_archive(std::span<const Input> inputs, const std::filesystem::path& target,
                          const WriteOptions& options) {
  AtomicFile out(target, options.overwrite);
  WriteReport report = write_archive(
      inputs, [&](ByteView bytes) { out.write(bytes); }, options);
  const Stopwatch watch;
  out.commit();
  report.writing += watch.seconds();
  report.wall += watch.seconds();
  return report;
}

}  // namespace pith::archive
