// What an exported file holds, before anything is written.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "export_tensor.h"
#include "pith/model/export_gguf.h"

namespace pith::model {

struct ExportPlan {
  io::GgufMetadata metadata;
  std::vector<ExportTensor> tensors;
  std::vector<std::string> notes;
};

// Of a decoder from any source: names, order of rows and metadata as llama.cpp wants them.
ExportPlan plan_decoder(const WeightSource& source, const ExportOptions& options);

// Of a GGUF file, of any architecture: everything as it is, matrices in another type if asked.
ExportPlan plan_gguf(const std::filesystem::path& path, const ExportOptions& options);

// Gives parts the type: that of all of them where it is kept or `wanted` is unset; notes where
// another than the wanted one is taken. Throws ErrorKind::kUsage naming the tensor.
void choose_type(ExportTensor& tensor, std::optional<DType> wanted,
                 std::vector<std::string>& notes);

// "general.file_type" for files whose matrices have this type; nothing where llama.cpp has none.
std::optional<uint32_t> file_type_number(DType type);

}  // namespace pith::model
