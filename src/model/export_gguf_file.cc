#include <algorithm>

#include "export_plan.h"
#include "pith/base/error.h"
#include "pith/base/file.h"
#include "pith/form/tensor.h"
#include "pith/io/layout.h"
#include "pith/io/text.h"

namespace pith::model {
namespace {

// Of the file: matrices and stacks of them, but for those that stay f32 in every file.
bool is_matrix(const io::TensorRegion& region) {
  const std::string& name = region.name;
  return region.shape.size() >= 2 && name.find("norm") == std::string::npos &&
         name.find("ffn_gate_inp") == std::string::npos && !name.starts_with("rope_");
}

// Blocks that no form decodes, and integers, are handed on as they lie.
class Opaque final : public form::Form {
 public:
  explicit Opaque(form::Shape shape) : Form(shape) {}
  form::Expression expression() const override { return form::Expression::call("opaque"); }
  void decode(uint64_t, uint64_t, float*) const override {
    fail(ErrorKind::kUsage, "its type cannot be decoded");
  }
  std::string_view kind() const override { return "opaque"; }
  void write_body(form::BodyWriter&) const override {}
};

using File = std::shared_ptr<const MappedFile>;

ExportTensor tensor_of(const File& file, const io::TensorRegion& region,
                       const ExportOptions& options, std::vector<std::string>& notes) {
  ExportTensor tensor{region.name, region.name, region.shape, region.dtype, {}};
  const uint64_t cols = region.shape.empty() ? 1 : region.shape.back();
  uint64_t rows = 1;
  for (size_t i = 0; i + 1 < region.shape.size(); ++i) rows = checked_mul(rows, region.shape[i]);
  const Buffer bytes(file->bytes().subspan(region.offset, region.size), file);
  ExportTensor::Part part;
  if (form::is_tensor_type(region.dtype)) {
    part.form = form::from_tensor(region.dtype, {rows, cols}, bytes);
  } else {
    part.form = std::make_shared<Opaque>(form::Shape{rows, cols});
  }
  const bool encoded = options.type && is_matrix(region);
  if (!encoded) part.kept = form::GgmlTensor{region.dtype, bytes};
  tensor.parts.push_back(std::move(part));
  if (encoded) choose_type(tensor, options.type, notes);
  return tensor;
}

void check_file(const io::GgufMetadata& metadata, const std::filesystem::path& path) {
  const auto* parts = io::find_as<uint16_t>(metadata, "split.count");
  if (parts && *parts > 1) {
    fail(ErrorKind::kUsage, "{}: one of {} files of a model, which is not exported", path.string(),
         *parts);
  }
}

}  // namespace

ExportPlan plan_gguf(const std::filesystem::path& path, const ExportOptions& options) {
  const auto file = std::make_shared<const MappedFile>(path);
  const io::Layout layout = io::describe(file->bytes(), path.filename()).layout;
  if (layout.format != "gguf" || !layout.notes.empty()) {
    fail(ErrorKind::kData, "{}: {}", path.string(),
         layout.notes.empty() ? "it is no GGUF file" : layout.notes.front());
  }
  ExportPlan plan;
  plan.metadata = io::read_gguf_metadata(file->bytes());
  check_file(plan.metadata, path);
  for (const io::TensorRegion& region : layout.tensors) {  // in the order of the file
    if (region.big_endian) {
      fail(ErrorKind::kUsage, "{}: big-endian files are not exported", path.string());
    }
    plan.tensors.push_back(tensor_of(file, region, options, plan.notes));
  }
  if (options.type) {
    std::erase_if(plan.metadata,
                  [](const auto& pair) { return pair.first == "general.file_type"; });
    if (const auto number = file_type_number(*options.type)) {
      plan.metadata.emplace_back("general.file_type", *number);
    }
  }
  return plan;
}

}  // namespace pith::model
