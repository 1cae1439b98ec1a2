// pith export: models as the files that other programs run.
#include <memory>

#include "command.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "pith/model/export_gguf.h"
#include "progress_bar.h"
#include "units.h"

namespace pith::command {
namespace {

struct Arguments {
  std::string model, output, type = "keep";
  int threads = 0;
  bool force = false, quiet = false, json = false;
};

std::optional<DType> type_of(const std::string& name) {
  if (name == "keep") return std::nullopt;
  const DTypeInfo* found = find_dtype(name);
  if (!found) {
    fail(ErrorKind::kUsage, "--type {}: it is not keep, f32, f16, bf16 nor a type as q8_0 or q4_K",
         name);
  }
  return found->dtype;
}

void run(const Arguments& a) {
  const auto target = output_path(a.output, a.force);
  ProgressBar bar(a.model, a.quiet);
  model::ExportOptions options;
  options.type = type_of(a.type);
  options.threads = a.threads;
  options.overwrite = a.force;
  options.progress = bar.callback();
  const model::ExportReport report = model::export_gguf(a.model, target, options);
  bar.clear();
  if (a.json) {
    print_json({{"model", a.model},
                {"output", a.output},
                {"bytes", report.bytes},
                {"tensors", report.tensors},
                {"notes", report.notes}});
  }
  if (a.quiet) return;
  for (const std::string& text : report.notes) note("{}: {}", a.model, text);
  note("{} : {} ({}, {})", a.output, size_text(report.bytes), count_text(report.tensors, "tensor"),
       rate_text(report.bytes, bar.seconds()));
}

}  // namespace

void add_export(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("export", "Write a model as a GGUF file");
  c->add_option("model", a->model, "a model's folder (config.json and safetensors) or GGUF file")
      ->type_name("MODEL")
      ->required();
  c->add_option("-o,--output", a->output, "the file")->type_name("FILE.gguf")->required();
  c->add_option("--type", a->type, "of the matrices: keep, f32, f16, bf16, q8_0, q6_K, q4_K, …")
      ->type_name("TYPE")
      ->capture_default_str();
  add_threads(c, a->threads);
  c->add_flag("-f,--force", a->force, "overwrite the output");
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors");
  c->add_flag("--json", a->json, "the result as JSON on standard output");
  c->footer(
      R"(With --type keep every number stays: tensors go into the type that holds them, and one that GGUF cannot
hold is an error. Other types are rounded to with least squared error.

Examples:
  pith export small -o small.gguf                   as it is, for llama.cpp
  pith export small -o small-q4.gguf --type q4_K    matrices in 4.5 bits a weight
  pith export model.gguf -o again.gguf              the same file again)");
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
