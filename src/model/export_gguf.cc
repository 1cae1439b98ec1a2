#include "pith/model/export_gguf.h"

#include <algorithm>
#include <utility>

#include "export_plan.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/io/text.h"

namespace pith::model {
namespace {

void check_type(const ExportOptions& options) {
  if (!options.type || form::is_ggml_target(*options.type)) return;
  fail(ErrorKind::kUsage, "matrices cannot be encoded to {} for GGUF", info(*options.type).name);
}

// What GGUF forbids is the model's fault here, not the caller's.
io::GgufWriter begin(const std::filesystem::path& to, bool overwrite, const ExportPlan& plan,
                     std::vector<io::TensorInfo> table) {
  try {
    return {to, overwrite, plan.metadata, std::move(table)};
  } catch (const Error& error) {
    throw error.kind() == ErrorKind::kUsage ? Error(ErrorKind::kData, error.what()) : error;
  }
}

ExportReport write(const ExportPlan& plan, const std::filesystem::path& to,
                   const ExportOptions& options) {
  std::vector<io::TensorInfo> table;
  uint64_t total = 0;
  for (const ExportTensor& tensor : plan.tensors) {
    table.push_back({tensor.name, tensor.type, tensor.shape});
    total += tensor_bytes(tensor.type, tensor.shape).value_or(0);
  }
  io::GgufWriter out = begin(to, options.overwrite, plan, std::move(table));
  uint64_t done = 0;
  const auto piece = [&](ByteView bytes) {
    // Long kept tensors are written in pieces, so that work can be interrupted.
    constexpr size_t kPiece = size_t{16} << 20;
    for (size_t at = 0; at < bytes.size(); at += kPiece) {
      const ByteView part = bytes.subspan(at, std::min(kPiece, bytes.size() - at));
      report(options.progress, done, total);
      out.write(part);
      done += part.size();
    }
  };
  const int threads = thread_count(options.threads);
  for (const ExportTensor& tensor : plan.tensors) write_tensor(tensor, threads, piece);
  report(options.progress, done, total);
  out.commit();
  return {out.size(), plan.tensors.size(), plan.notes};
}

}  // namespace

void choose_type(ExportTensor& tensor, std::optional<DType> wanted,
                 std::vector<std::string>& notes) {
  const auto keep = [&] {
    std::optional<DType> type;
    for (ExportTensor::Part& part : tensor.parts) {
      part.kept = form::as_ggml(*part.form);
      if (!part.kept || (type && *type != part.kept->type)) return std::optional<DType>();
      type = part.kept->type;
    }
    return type;
  };
  const std::optional<DType> kept = keep();
  if (!wanted && !kept) {
    fail(ErrorKind::kUsage, "tensor {}: GGUF cannot hold {}; --type encodes it to another type",
         io::in_quotes(tensor.shown), form::to_string(tensor.parts.front().form->expression()));
  }
  const uint64_t cols = tensor.parts.front().form->shape().cols;
  tensor.type = wanted ? type_for_rows(*wanted, cols) : *kept;
  if (wanted && tensor.type != *wanted) {
    notes.push_back(fmt::format("tensor {} is {}: its rows of {} are not whole blocks of {}",
                                tensor.shown, info(tensor.type).name, cols, info(*wanted).name));
  }
  if (kept == tensor.type) return;
  for (ExportTensor::Part& part : tensor.parts) part.kept.reset();
}

// llama.cpp's enumeration llama_ftype.
std::optional<uint32_t> file_type_number(DType type) {
  static constexpr std::pair<DType, uint32_t> kNumbers[] = {
      {DType::kF32, 0},     {DType::kF16, 1},     {DType::kQ4_0, 2},  {DType::kQ4_1, 3},
      {DType::kQ8_0, 7},    {DType::kQ5_0, 8},    {DType::kQ5_1, 9},  {DType::kQ2_K, 10},
      {DType::kQ3_K, 11},   {DType::kQ4_K, 14},   {DType::kQ5_K, 16}, {DType::kQ6_K, 18},
      {DType::kIQ4_NL, 25}, {DType::kIQ4_XS, 30}, {DType::kBF16, 32}, {DType::kTQ1_0, 36},
      {DType::kTQ2_0, 37},  {DType::kMXFP4, 38},
  };
  const auto* found = std::ranges::find(kNumbers, type, &std::pair<DType, uint32_t>::first);
  return found == std::end(kNumbers) ? std::nullopt : std::optional(found->second);
}

ExportReport export_gguf(const WeightSource& model, const std::filesystem::path& to,
                         const ExportOptions& options) {
  check_type(options);
  try {
    return write(plan_decoder(model, options), to, options);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kIo) throw;
    throw error.in(model.where());
  }
}

ExportReport export_gguf(const std::filesystem::path& model, const std::filesystem::path& to,
                         const ExportOptions& options) {
  if (!is_gguf(model)) {
    return export_gguf(*open_weights(model), to, options);
  }
  check_type(options);
  try {
    return write(plan_gguf(model, options), to, options);
  } catch (const Error& error) {
    const std::string_view what = error.what();
    if (error.kind() == ErrorKind::kIo || what.starts_with(model.string())) throw;
    throw error.in(model.string());
  }
}

}  // namespace pith::model
