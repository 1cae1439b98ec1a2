// pith inspect, in parts: archives, plain files, and the entropies of both.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "output.h"
#include "pith/io/layout.h"
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

// A line for each element type: how many tensors, elements and bytes; `stored` may be empty.
std::string dtype_table(const std::vector<io::TensorRegion>& tensors,
                        const std::vector<uint64_t>& stored);

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
