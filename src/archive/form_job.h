// A tensor on its way into its form.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "form_chunk.h"
#include "pith/archive/stored_form.h"

namespace pith::archive {

struct Job;
struct WriteOptions;

struct FormTask {
  io::TensorRegion tensor;
  // What is to be made, or a form that is there and stays as it is.
  std::optional<form::Expression> expression;
  std::optional<StoredForm> stored;
  form::FormPtr fitted;  // that the expression stands for, where it was made beforehand
  // Once the job is coded: the record and the elements as a reader will see them, or …
  FormRecord record;
  Bytes bytes;  // what `elements` reads from when the payload is a reference
  std::shared_ptr<const FormElements> elements;
  // … why the tensor stays lossless, and its frames.
  std::string refusal;
  std::vector<std::unique_ptr<Job>> instead;
};

// Bounds the memory of tensors that are being encoded at a time: they wait, unless one is alone.
class MemoryGate {
 public:
  class Pass {
   public:
    Pass(MemoryGate& gate, uint64_t elements);
    ~Pass();
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    MemoryGate& gate_;
    uint64_t elements_;
    bool within_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable left_;
  uint64_t elements_ = 0;
};

// Runs in parallel. Elements that the form cannot hold make the job fall back to lossless frames.
void code_form(Job& job, const WriteOptions& options, MemoryGate& gate);

}  // namespace pith::archive
