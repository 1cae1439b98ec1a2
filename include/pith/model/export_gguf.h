// Models as GGUF files, which llama.cpp and the programs around it run.
//
//   export_gguf("SmolLM2-135M", "model.gguf", {.type = DType::kQ8_0});
//
// The tensors keep their numbers where GGUF has a type that holds them (form/ggml_tensor.h); with a
// type given, matrices are encoded to it. Vectors (norms, biases) and the routers of experts are
// f32, as llama.cpp wants them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pith/base/dtype.h"
#include "pith/base/progress.h"
#include "pith/io/gguf_metadata.h"
#include "pith/model/config.h"
#include "pith/model/tokenizer.h"
#include "pith/model/weight_source.h"

namespace pith::model {

struct ExportOptions {
  // Of the matrices (form::is_ggml_target); unset: as they are. Where rows are not whole blocks of
  // it, one with smaller blocks and no fewer bits is taken.
  std::optional<DType> type = {};
  int threads = 1;
  bool overwrite = false;
  Progress progress = {};  // in bytes of the file
};

struct ExportReport {
  uint64_t bytes = 0, tensors = 0;
  std::vector<std::string> notes;  // what is not as asked: "tokenizer left out: …"
};

// `model`: what open_weights() opens, or any GGUF file, whose metadata stay as they are. Throws
// ErrorKind::kUsage naming the tensor whose form GGUF cannot hold, ErrorKind::kData for names,
// shapes and metadata that it forbids, ErrorKind::kIo as io::GgufWriter, and as the reading of the
// model does.
ExportReport export_gguf(const std::filesystem::path& model, const std::filesystem::path& to,
                         const ExportOptions& options = {});
ExportReport export_gguf(const WeightSource& model, const std::filesystem::path& to,
                         const ExportOptions& options = {});

// The keys that say what the model is: "general.architecture", "llama.block_count" and so on.
// Throws ErrorKind::kUsage for what GGUF has no keys for.
io::GgufMetadata gguf_metadata(const DecoderConfig& config);

// The keys of a tokenizer, with as many tokens as the embedding has rows: unused ones are added.
// Throws ErrorKind::kUsage where llama.cpp would encode texts in another way, and for more tokens
// than rows.
io::GgufMetadata gguf_metadata(const Tokenizer& tokenizer, uint32_t rows);

// The divisors of the tensor rope_freqs, by which GGUF files say RopeScaling::Kind::kLlama3; empty
// for other kinds.
std::vector<float> rope_divisors(const DecoderConfig& config);

}  // namespace pith::model
