// The files that the benchmarks run on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bench.h"
#include "bench_report.h"
#include "pith/base/bytes.h"

namespace pith::bench {

struct DataSet {
  std::filesystem::path path;
  std::string zipnn;  // what ZipNN calls its type
  std::string about;
};

// Data sets that match options.files; runs tools/bench_data.py first, and notes what is missing and
// how to get it.
std::vector<DataSet> data_sets(const Options& options, Report& report);

// How codecs are timed, for the reader of a report.
std::string rules(const Options& options);

// $PITH_DATA, or ../shared/data.
std::filesystem::path shared_data();
// The reference model of the repository; throws kIo when it is not there.
std::filesystem::path reference_model();

// The folder of the small networks beside it.
std::filesystem::path reference_networks();

// A folder for scratch files, removed with what is in it.
class Scratch {
 public:
  explicit Scratch(const Options& options);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

 private:
  std::filesystem::path folder_;
};

// Copies of a bf16 model in one safetensors file of about `size` bytes
// ("copy03.model.norm.weight"). In each copy the lowest bit of a random half of the weights is
// flipped: as hard to compress as the model, and no piece equal to another one.
void write_perturbed_copies(const std::filesystem::path& model, uint64_t size,
                            const std::filesystem::path& to);

}  // namespace pith::bench
