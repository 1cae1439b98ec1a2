// pith decompress: everything in an archive, one file of it, one tensor, or some rows.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "command.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "place.h"
#include "progress_bar.h"
#include "tensor_output.h"
#include "units.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;
using archive::Archive;
using archive::EntryKind;
using archive::FileInfo;

struct Arguments {
  std::vector<std::string> archives, bases;
  std::string output, tensor, rows, file, memory;
  int threads = 0;
  bool to_stdout = false, force = false, keep = false, quiet = false;
};

[[noreturn]] void usage(std::string_view text) { fail(ErrorKind::kUsage, "{}", text); }

void check(const Arguments& a) {
  if (a.to_stdout && !a.output.empty()) usage("-c and -o exclude each other");
  if (!a.rows.empty() && a.tensor.empty()) usage("--rows needs --tensor");
  if (!a.tensor.empty() && !a.file.empty())
    usage("--tensor and --file exclude each other (write --tensor FILE:NAME)");
  if (!a.tensor.empty() && a.output.empty() && !a.to_stdout) {
    usage("--tensor: say where to with -o OUT (.npy, .safetensors, else raw bytes), or -c");
  }
  if (a.archives.empty() && stdin_is_terminal()) usage("no archive; name one, or pipe one in");
  if (a.archives.size() > 1 && (!a.output.empty() || !a.tensor.empty() || !a.file.empty())) {
    usage("-o, --tensor and --file take one archive at a time");
  }
}

class Decompress {
 public:
  Decompress(const Arguments& a, const std::string& path)
      : a_(a),
        path_(path),
        opened_(open_archive(path, open_options(a))),
        archive_(opened_.archive) {}

  void run() {
    if (!a_.tensor.empty()) return one_tensor();
    if (!a_.file.empty()) return one_file(archive_.find_file(a_.file));
    if (const auto single = single_file()) return one_file(*single);
    if (to_stdout())
      usage("the archive has several files; choose one with --file, or a folder with -o");
    if (path_ == "-" && a_.output.empty())
      usage("several files come from standard input; name a folder with -o");
    tree();
  }

 private:
  static archive::OpenOptions open_options(const Arguments& a) {
    archive::OpenOptions options;
    options.bases = to_paths(a.bases);
    if (!a.memory.empty()) options.memory_limit = parse_size(a.memory, "--memory");
    return options;
  }

  bool to_stdout() const { return a_.to_stdout || a_.output == "-"; }

  // An archive of one file that is in no folder.
  std::optional<size_t> single_file() const {
    const auto& files = archive_.files();
    const bool single = files.size() == 1 && files[0].kind == EntryKind::kRegular &&
                        files[0].path.find('/') == std::string::npos;
    return single ? std::optional<size_t>(0) : std::nullopt;
  }

  fs::path beside(const std::string& name) const { return fs::path(path_).parent_path() / name; }

  void one_tensor() {
    const size_t tensor = archive_.find(a_.tensor);
    std::optional<RowRange> rows;
    if (!a_.rows.empty()) rows = parse_rows(a_.rows);
    if (to_stdout()) {
      refuse_terminal();
      return write_tensor(archive_, tensor, rows, TensorFormat::kRaw,
                          [](ByteView b) { write_stdout(b); });
    }
    AtomicFile out(output_path(a_.output, a_.force), a_.force);
    write_tensor(archive_, tensor, rows, tensor_format(a_.output),
                 [&](ByteView b) { out.write(b); });
    out.commit();
    say_losses(tensor, 1);
  }

  // Of `count` tensors from the `first` on.
  void say_losses(size_t first, size_t count) const {
    if (a_.quiet) return;
    const auto begin = archive_.tensors().begin() + static_cast<ptrdiff_t>(first);
    const auto lossy =
        std::count_if(begin, begin + static_cast<ptrdiff_t>(count),
                      [](const auto& tensor) { return tensor.form && tensor.form->max_error > 0; });
    if (lossy == 0) return;
    note("{} : stored with losses: {} (pith inspect --tensors shows the errors)", opened_.label,
         count_text(static_cast<uint64_t>(lossy), "tensor"));
  }

  void refuse_terminal() const {
    if (stdout_is_terminal())
      usage("binary data are not written to a terminal; use -o, or redirect");
  }

  void one_file(size_t file) {
    const FileInfo& info = archive_.files()[file];
    if (info.kind != EntryKind::kRegular) usage(info.path + " is a folder; --file takes a file");
    ProgressBar bar(info.path, a_.quiet);
    const archive::ExtractOptions options = extract_options(bar);
    if (to_stdout() || (path_ == "-" && a_.output.empty())) {
      refuse_terminal();
      return archive_.extract_file(
          file, [](ByteView b) { write_stdout(b); }, options);
    }
    const fs::path target =
        a_.output.empty() ? beside(fs::path(info.path).filename()) : fs::path(a_.output);
    if (a_.output.empty()) archive::check_path(info.path);
    archive_.extract_file(file, output_path(target, a_.force), options);
    summary(bar, target, info.size);
    say_losses(info.first_tensor, info.tensor_count);
  }

  // The one folder that everything is in, or nothing.
  std::string top_folder() const {
    std::string top;
    for (const FileInfo& f : archive_.files()) {
      const std::string first = f.path.substr(0, f.path.find('/'));
      if ((f.kind == EntryKind::kRegular && first == f.path) || (!top.empty() && first != top))
        return "";
      top = first;
    }
    return top;
  }

  fs::path tree_target(const std::string& top) const {
    if (!a_.output.empty()) return a_.output;
    if (!top.empty()) return beside(top);
    const std::string name = fs::path(path_).filename().string();
    if (name.size() > 5 && name.ends_with(".pith")) return beside(name.substr(0, name.size() - 5));
    fail(ErrorKind::kUsage, "{}: has several files and a name without .pith; name a folder with -o",
         path_);
  }

  void tree() {
    const std::string top = top_folder();
    const fs::path target = tree_target(top);
    ProgressBar bar(target.string(), a_.quiet);
    StagedFolder staged(target, a_.force);
    archive_.extract_all(staged.path(), extract_options(bar));
    staged.commit(top);
    restore_folder_modes(target, top);
    summary(bar, target, archive_.raw_size());
    say_losses(0, archive_.tensors().size());
  }

  // Children first, so that a folder that may not be written is still complete.
  void restore_folder_modes(const fs::path& target, const std::string& top) const {
    const mode_t mask = ::umask(0);
    ::umask(mask);
    for (auto f = archive_.files().rbegin(); f != archive_.files().rend(); ++f) {
      if (f->kind != EntryKind::kDirectory) continue;
      const fs::path inner = fs::path(f->path).lexically_relative(top.empty() ? "." : top);
      const fs::path folder = inner == "." ? target : target / inner;
      if (fs::is_directory(fs::symlink_status(folder)))
        ::chmod(folder.c_str(), f->mode & ~mask & 0777);
    }
  }

  archive::ExtractOptions extract_options(ProgressBar& bar) const {
    return {.threads = a_.threads, .overwrite = a_.force, .progress = bar.callback()};
  }

  void summary(ProgressBar& bar, const fs::path& target, uint64_t size) const {
    bar.clear();
    if (a_.quiet) return;
    note("{} : {} ({}, {})", opened_.label, target.string(), size_text(size),
         rate_text(size, bar.seconds()));
  }

  const Arguments& a_;
  const std::string path_;
  OpenedArchive opened_;
  const Archive& archive_;
};

void run(const Arguments& a) {
  check(a);
  const std::vector<std::string> stdin_only{"-"};
  for (const std::string& path : a.archives.empty() ? stdin_only : a.archives)
    Decompress(a, path).run();
}

constexpr const char* kExamples =
    R"(One file comes back under its own name, beside the archive; a folder likewise; several inputs come
back in a folder called as the archive is, without .pith. -o names what comes out.

Examples:
  pith decompress model.safetensors.pith -f              the file, with its permissions
  pith decompress all.pith -o restored                   everything, into this folder
  pith decompress model.pith --file config.json -o c.json    one file of several
  pith decompress model.pith --tensor lm_head.weight -o head.npy
  pith decompress model.pith --tensor lm_head.weight --rows 0:2 -c | od -t x2 | head
  pith decompress model.pith --tensor lm_head.weight -o head.safetensors
  pith decompress step.pith --base step-1000.safetensors -o s.safetensors    its base is elsewhere
  pith decompress < model.gguf.pith > model.gguf -f      in a pipe)";

void add_options(CLI::App* c, Arguments& a) {
  c->add_option("archive", a.archives, "archives; '-' or none: standard input")
      ->type_name("FILE.pith");
  c->add_option("-o,--output", a.output, "file or folder to write ('-': standard output)")
      ->type_name("OUT");
  c->add_flag("-c,--stdout", a.to_stdout, "write to standard output");
  c->add_flag("-f,--force", a.force, "overwrite the output");
  c->add_flag("-k,--keep", a.keep, "keep the archive (always so)");
  c->add_option("--file", a.file, "only this file of the archive")->type_name("PATH");
  c->add_option("--tensor", a.tensor, "only this tensor (NAME or FILE:NAME), to -o or -c")
      ->type_name("NAME");
  c->add_option("--rows", a.rows, "of the tensor, only these rows (first:last, last not included)")
      ->type_name("A:B");
  add_bases(c, a.bases, "where the base of a delta is");
  c->add_option("--memory", a.memory,
                "refuse archives that need more than this at once (default 8G)")
      ->type_name("SIZE");
  add_threads(c, a.threads);
  c->add_flag("-q,--quiet", a.quiet, "say nothing but errors");
}

}  // namespace

void add_decompress(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c =
      app.add_subcommand("decompress", "Get everything back, or one file, tensor or some rows");
  add_options(c, *a);
  c->footer(kExamples);
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
