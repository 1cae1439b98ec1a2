// The serial head of the writer: takes the inputs apart into frames to be made.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "chunk.h"
#include "form_job.h"
#include "pith/archive/writer.h"
#include "plan.h"
#include "record.h"

namespace pith::archive {

// One frame on its way: the producer says what it holds, a worker codes it, the emitter writes it.
struct Job {
  FrameHeader header;
  Bytes payload;
  // DATA: the original bytes and how they are to be coded.
  Buffer raw;
  std::vector<RunPlan> runs;
  std::shared_ptr<const std::vector<BasedTensor>> based;
  std::vector<CodedRun> coded;
  double coding = 0;  // seconds
  std::shared_ptr<Source> source;
  // A tensor that gets a form; with a reference too, when an equal one got it before.
  std::unique_ptr<FormTask> form;
  // Of a file whose bytes are known only once its forms are: it is hashed when it is written.
  bool hashed_last = false;
  // What the index and the report need of the other kinds.
  std::optional<FileRecord> record;
  std::optional<FileEnd> end;
  std::optional<Reference> reference;
};

// Codes a DATA job; nothing to do for others. Runs in parallel. Forms: code_form().
void code_job(Job& job, const WriteOptions& options);

// Seconds since it was made.
class Stopwatch {
 public:
  Stopwatch();
  double seconds() const;

 private:
  int64_t start_;
};

// Where bytes were stored first.
class SharedContent {
 public:
  struct Place {
    uint32_t file = 0;
    uint64_t offset = 0, size = 0;
  };
  std::optional<Place> find(const Hash128& hash, uint64_t size) const;
  void insert(const Hash128& hash, const Place& place);

 private:
  struct Hasher {
    size_t operator()(const Hash128& h) const { return load_le<size_t>(h.bytes.data()); }
  };
  std::unordered_map<Hash128, Place, Hasher> places_;
};

// Finds the base tensor for a tensor of the input.
class BaseTensors {
 public:
  explicit BaseTensors(const Base* base);
  std::optional<BasePlace> find(const std::string& path, const io::TensorRegion& tensor) const;

 private:
  const Base* base_;
  std::unordered_map<std::string, std::vector<std::pair<uint32_t, const io::TensorRegion*>>> names_;
};

class Producer {
 public:
  Producer(std::span<const Input> inputs, const WriteOptions& options, uint32_t id);

  // The next frame, in the order of the archive; null at the end.
  std::unique_ptr<Job> next();
  double reading() const { return reading_; }
  double hashing() const { return hashing_; }

 private:
  void step();
  void begin_file();
  void end_file();
  void take_stream();
  void take(const Unit& unit, Buffer piece);
  void take_form(const Unit& unit);
  bool share(const Unit& unit, const Buffer& piece);
  bool equal(const SharedContent::Place& place, ByteView bytes);
  std::optional<SharedContent::Place> find_form(const FormTask& task, const Buffer& piece);
  void flush_group();
  void flush_reference();
  void emit_data(uint64_t offset, Buffer raw, std::vector<RunPlan> runs);
  std::unique_ptr<Job> make(FrameKind kind) const;
  std::unique_ptr<Job> make(FrameKind kind, Packed packed) const;
  Buffer get(uint64_t offset, uint64_t size);
  FileRecord describe(const Input& input);
  std::optional<FormTask> plan_form(const io::TensorRegion& tensor) const;

  std::span<const Input> inputs_;
  const WriteOptions& options_;
  uint32_t id_;
  ChunkSizes sizes_;
  BaseTensors base_tensors_;
  SharedContent shared_;
  FormRules rules_;
  std::deque<std::unique_ptr<Job>> ready_;
  double reading_ = 0, hashing_ = 0;

  size_t file_ = 0;  // current, or the next to begin
  bool in_file_ = false;
  std::vector<Unit> units_;
  size_t unit_ = 0;
  // Of the current file's tensors; those that stay lossless have none.
  std::vector<std::optional<FormTask>> tasks_;
  bool hashed_last_ = false;
  uint64_t at_ = 0;  // bytes of the file taken so far
  Hasher128 hasher_;
  std::shared_ptr<const std::vector<BasedTensor>> based_;
  // Small units that wait to become one chunk; it ends at at_.
  std::vector<RunPlan> group_;
  uint64_t group_at_ = 0, group_size_ = 0;
  // Equal bytes found, which may go on: source place, and where they stand in the current file.
  std::optional<SharedContent::Place> repeat_;
  uint64_t repeat_at_ = 0;
  Buffer repeat_raw_;  // where the file is hashed last
};

}  // namespace pith::archive
