// pith inspect, in parts: archives (inspect_archive.cc), plain files and folders of them
// (inspect_plain.cc), the model that either is (inspect_model.cc), and tables of all
// (inspect_tables.cc).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "output.h"
#include "pith/io/layout.h"
#include "pith/model/config.h"
#include "table.h"

namespace pith::command {

struct InspectArguments {
  std::string input;
  std::vector<std::string> bases;
  bool tensors = false, metadata = false, planes = false, json = false;
};

void inspect_archive(const InspectArguments& arguments);
void inspect_plain(const InspectArguments& arguments);

using MetadataPairs = std::vector<std::pair<std::string, std::string>>;
// "key  value" lines, long values cut.
std::string metadata_text(const MetadataPairs& metadata);
Json metadata_json(const MetadataPairs& metadata);

// What the model at a path is, or why it does not run. For folders, GGUF files and archives.
class ModelFacts {
 public:
  explicit ModelFacts(const std::string& path);
  // A line, or nothing where there is no model.
  std::string text() const;
  Json json() const;  // null where there is none

 private:
  std::optional<model::DecoderConfig> config_;
  std::string why_not_;
};

// The form in which a tensor of a plain file computes: "dense(bf16)", "ggml(q4_K)"; else empty.
std::string form_text(const io::TensorRegion& tensor);

// A line for each element type and one for all: how many tensors, weights and bytes. `stored`: the
// bytes of each in an archive; empty for a plain file, whose types compute in a form of their own.
std::string dtype_table(const std::vector<io::TensorRegion>& tensors,
                        const std::vector<uint64_t>& stored);
// {tensors, weights, raw, stored, bits_per_weight} of all of them.
Json total_json(const std::vector<io::TensorRegion>& tensors, const std::vector<uint64_t>& stored);

// Entropies of the float tensors, in the order given; `read` gives the bytes of one.
class PlaneTable {
 public:
  void add(const io::TensorRegion& region, const std::function<Bytes()>& read);
  std::string text() const;
  Json json() const;

 private:
  struct Row;
  std::vector<std::shared_ptr<const Row>> rows_;
};

}  // namespace pith::command
