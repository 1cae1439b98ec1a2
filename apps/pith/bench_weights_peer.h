// GGUF files of a model in llama.cpp's mixes of types, made by its own quantizer through
// $PITH_LLAMA, with and without an importance matrix.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bench_report.h"
#include "bench_weights.h"

namespace pith::bench {

struct PeerMix {
  const char* type;  // llama.cpp's name of the mix
  bool importance;   // with the mean squares of inputs
  bool pure;         // every matrix in the same type, which is smaller than the mix
  std::string name() const;
};

// Of --files a shell pattern for names; `quick`: some.
std::vector<PeerMix> peer_mixes(const Options& options);

class PeerQuantizer {
 public:
  // Files go to `folder` and are used again when they are there. The importance matrix is from so
  // many windows of 512 tokens, spread over the calibration text.
  PeerQuantizer(WeightInputs inputs, uint64_t windows, std::filesystem::path folder);

  // Throws ErrorKind::kData with llama.cpp's reason where it refuses.
  std::filesystem::path make(const PeerMix& mix);
  // A file with every tensor as llama.cpp decodes it to f32, overwritten by the next.
  std::filesystem::path decoded(const std::filesystem::path& file);

 private:
  std::filesystem::path source();      // GGUF, as the model is
  std::filesystem::path importance();  // JSON
  WeightInputs inputs_;
  std::filesystem::path folder_;
  uint64_t windows_;
};

// A file that llama.cpp runs on windows of ids, which stand in a file as text.
struct PeerRun {
  std::filesystem::path ids;
  uint64_t context = 512;                // ids of a window, all but the first predicted
  std::filesystem::path save = {};       // its predictions go there,
  std::filesystem::path reference = {};  // or are compared with those of another run
};
struct PeerScore {
  double perplexity = 0, kl = 0, same_best = 0;
};
PeerScore peer_score(const std::filesystem::path& model, const PeerRun& run);

struct MatrixFigures {
  double bits = 0, error = 0;  // for a weight
};
// Of floats in `file`, in rows of `columns`, in ggml's types, by their names.
std::vector<MatrixFigures> peer_matrices(const std::filesystem::path& file, uint64_t columns,
                                         const std::vector<std::string>& types);

}  // namespace pith::bench
