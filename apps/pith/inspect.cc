// pith inspect: what is in an archive and how it is coded, or what is in a plain model file or
// folder.
#include "inspect.h"

#include "command.h"
#include "options.h"

namespace pith::command {
namespace {

bool is_archive(const std::string& path) {
  if (std::filesystem::is_directory(path)) return false;
  const MappedFile file(path);
  return archive::Archive::is_archive(file.bytes());
}

void run(const InspectArguments& a) {
  if (a.input == "-" || is_archive(a.input)) return inspect_archive(a);
  inspect_plain(a);
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto a = std::make_shared<InspectArguments>();
  CLI::App* c = app.add_subcommand("inspect", "Say what is in an archive or a model file");
  c->add_option(
       "file", a->input,
       "an archive ('-': standard input), a model file of any known format, or a folder of them")
      ->type_name("FILE")
      ->required();
  c->add_flag("--tensors", a->tensors, "a line for each tensor, with how it is coded");
  c->add_flag("--metadata", a->metadata, "the metadata of the files");
  c->add_flag("--planes", a->planes,
              "entropies: what no coder of signs, exponents and mantissas gets below");
  add_bases(c, a->bases, "where the base of a delta is");
  c->add_flag("--json", a->json, "everything as JSON on standard output");
  c->footer(R"(Examples:
  pith inspect model.pith                    files, types, sizes, base
  pith inspect model.pith --tensors          each tensor and how it is coded
  pith inspect model.safetensors --tensors   the same of a file that is not compressed
  pith inspect model.gguf --metadata         what the file says about itself
  pith inspect lm --tensors                  a folder: each tensor's form, shape, bits and bytes
  pith inspect model.safetensors --planes    how far it could be compressed at all
  pith inspect model.pith --json             for programs)");
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
