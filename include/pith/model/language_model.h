// A language model whose every matrix is a form.
//
//   const LanguageModel model = load_model("SmolLM2-135M");       // or model.gguf
//   Session session(model, 2048);
//   session.feed(model.tokenizer()->encode("Once upon a time"));  // session.h
//
// A LanguageModel does not change; copies share what was loaded, and any number of sessions may run
// on it at a time.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pith/form/form.h"
#include "pith/model/config.h"
#include "pith/model/tokenizer.h"
#include "pith/model/weight_source.h"

namespace pith::model {

// y = x Wᵀ + bias.
struct Linear {
  form::FormPtr weight;
  std::vector<float> bias;  // one for each row, or empty
  std::string name = {};    // of the weight's tensor, as Hugging Face's files have it
};

// down(silu(gate(x)) * up(x))
struct FeedForward {
  Linear gate, up, down;
};

struct Experts {
  form::FormPtr router;  // experts x width
  std::vector<FeedForward> experts;
  std::optional<FeedForward> shared;  // visited by every token,
  form::FormPtr shared_gate;          // times the sigmoid of this (1 x width), if there
};

struct DecoderLayer {
  std::vector<float> attention_norm, feed_forward_norm;  // width
  Linear q, k, v, output;
  std::vector<float> q_norm, k_norm;  // head_size, or empty
  // One of the two at most.
  std::optional<FeedForward> feed_forward;
  std::optional<Experts> experts;

  // A part that is not there has no norm either: the stream goes past it as it is.
  bool has_attention() const { return q.weight != nullptr; }
  bool has_feed_forward() const { return feed_forward || experts; }
};

struct DecoderWeights {
  form::FormPtr embedding;  // vocabulary x width
  std::vector<DecoderLayer> layers;
  std::vector<float> norm;  // width
  Linear head;              // vocabulary x width; the embedding itself if tied
};

class LanguageModel {
 public:
  struct Parts {
    DecoderConfig config;
    DecoderWeights weights;
    std::optional<Tokenizer> tokenizer;
    std::string tokenizer_error, where;
    uint64_t weight_bytes = 0;
    std::function<void()> releaser = [] {};  // WeightSource::releaser()
  };
  // Throws ErrorKind::kData for weights that are not as the config says.
  explicit LanguageModel(Parts parts);

  const DecoderConfig& config() const { return parts_->config; }
  const DecoderWeights& weights() const { return parts_->weights; }
  // Null: the files have none.
  const Tokenizer* tokenizer() const { return parts_->tokenizer ? &*parts_->tokenizer : nullptr; }
  // Why there is no tokenizer, where the files have one that cannot be used; else empty.
  const std::string& tokenizer_error() const { return parts_->tokenizer_error; }
  const std::string& where() const { return parts_->where; }      // the file or folder
  uint64_t weight_bytes() const { return parts_->weight_bytes; }  // of all tensors, as stored

  // For whoever reads the weights once, layer after layer: what was read of files needs no memory
  // until it is read again.
  void release() const { parts_->releaser(); }

  // Bytes of memory that the first session will take for weights when it reads: GGML's blocks are
  // rearranged then. 0 once that has begun.
  uint64_t unprepared_bytes() const;
  void begin_to_prepare() const { *prepared_ = true; }

 private:
  std::shared_ptr<const Parts> parts_;
  std::shared_ptr<std::atomic<bool>> prepared_;
};

struct LoadOptions {
  // Bytes that weights may take: a model that needs more is refused with ErrorKind::kLimit before
  // anything is read. Unset: available_memory(). 0: any number, which may make the machine page.
  std::optional<uint64_t> memory_limit = {};
  // Bytes of it that others need: the weights of models that are used beside this one.
  uint64_t others = 0;
  // Positions that sessions will have room for, whose keys and values count as well.
  uint64_t positions = 0;
  bool tokenizer = true;
};

// Throws ErrorKind::kIo for missing files, kData for damaged ones, missing tensors and wrong
// shapes, by name, and for architectures that Pith does not run. A tokenizer that cannot be read is
// no error: ids can be fed without it (see tokenizer_error()).
LanguageModel load_model(const std::filesystem::path& path, const LoadOptions& options = {});
LanguageModel make_model(const WeightSource& source, const LoadOptions& options = {});

// Bytes that the process can still take: what the machine and its control groups give without
// paging, and the limit of addresses (ulimit -v) leaves. Nothing where nobody tells.
std::optional<uint64_t> available_memory();

}  // namespace pith::model
