// pith recover: what can be saved of a damaged archive.
#include "pith/archive/recover.h"

#include <algorithm>

#include "command.h"
#include "message.h"
#include "options.h"
#include "output.h"
#include "place.h"
#include "signals.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;
using archive::Archive;
using archive::FileInfo;

struct Arguments {
  std::string archive, output;
  std::vector<std::string> bases;
  int threads = 0;
  bool force = false, quiet = false, json = false;
};

// The lost ranges of a file that lie in `size` bytes, in order.
std::vector<std::pair<uint64_t, uint64_t>> holes(const Archive& archive, size_t file,
                                                 uint64_t size) {
  auto ranges = archive.lost(file);
  std::erase_if(ranges, [&](const auto& range) { return range.first >= size; });
  for (auto& range : ranges) range.second = std::min(range.second, size);
  std::ranges::sort(ranges);
  return ranges;
}

void copy_range(const Archive& archive, size_t file, uint64_t from, uint64_t to, AtomicFile& out) {
  constexpr uint64_t kPiece = uint64_t{8} << 20;
  for (uint64_t at = from; at < to; at += kPiece) {
    if (interrupted()) fail(ErrorKind::kIo, "interrupted");
    Bytes piece(std::min(kPiece, to - at));
    archive.read(file, at, piece);
    out.write(piece);
  }
}

void write_zeros(uint64_t size, AtomicFile& out) {
  const Bytes zeros(std::min<uint64_t>(size, uint64_t{8} << 20));
  for (; size > 0; size -= std::min<uint64_t>(size, zeros.size())) {
    out.write(ByteView(zeros).first(std::min<uint64_t>(size, zeros.size())));
  }
}

// The file with zeros where bytes are lost.
void extract_damaged(const Archive& archive, size_t file, const fs::path& target) {
  AtomicFile out(target, false);
  const uint64_t size = archive.files()[file].size;
  uint64_t at = 0;
  for (const auto& [first, last] : holes(archive, file, size)) {
    if (first > at) copy_range(archive, file, at, first, out);
    if (last > std::max(at, first)) write_zeros(last - std::max(at, first), out);
    at = std::max(at, last);
  }
  copy_range(archive, file, at, size, out);
  out.commit();
}

fs::path place_of(const fs::path& folder, const std::string& path) {
  archive::check_path(path);
  fs::path target = folder / path;
  fs::create_directories(target.parent_path());
  return target;
}

void extract(const archive::Recovery& recovery, const fs::path& folder, const Arguments& a) {
  const Archive& archive = recovery.archive;
  for (const FileInfo& file : archive.files()) {
    archive::check_path(file.path);
    if (file.kind == archive::EntryKind::kDirectory) fs::create_directories(folder / file.path);
  }
  for (const size_t f : recovery.whole_files) {
    if (archive.files()[f].kind != archive::EntryKind::kRegular) continue;
    archive.extract_file(f, place_of(folder, archive.files()[f].path),
                         {.threads = a.threads, .progress = {}});
  }
  for (const size_t f : recovery.damaged_files) {
    extract_damaged(archive, f, place_of(folder, archive.files()[f].path + ".damaged"));
  }
}

std::vector<std::string> names(const Archive& archive, const std::vector<size_t>& tensors) {
  std::vector<std::string> out;
  out.reserve(tensors.size());
  for (const size_t t : tensors) out.push_back(archive.tensors()[t].region.name);
  return out;
}

std::vector<std::string> paths(const Archive& archive, const std::vector<size_t>& files) {
  std::vector<std::string> out;
  out.reserve(files.size());
  for (const size_t f : files) out.push_back(archive.files()[f].path);
  return out;
}

Json to_json(const archive::Recovery& r) {
  Json damaged = Json::array();
  for (const size_t f : r.damaged_files) {
    damaged.push_back({{"path", r.archive.files()[f].path},
                       {"size", r.archive.files()[f].size},
                       {"lost", r.archive.lost(f)}});
  }
  return {{"index_survived", r.index_survived},
          {"whole_files", paths(r.archive, r.whole_files)},
          {"damaged_files", damaged},
          {"whole_tensors", names(r.archive, r.whole_tensors)},
          {"damaged_tensors", names(r.archive, r.damaged_tensors)},
          {"lost_bytes", r.lost_bytes},
          {"notes", r.notes}};
}

void say_files(const archive::Recovery& r) {
  for (const size_t f : r.whole_files) note("  whole    {}", r.archive.files()[f].path);
  for (const size_t f : r.damaged_files) {
    const FileInfo& file = r.archive.files()[f];
    note("  damaged  {}.damaged (zeros where bytes are lost)", file.path);
    for (const auto& [first, last] : r.archive.lost(f))
      note("           lost: bytes {}..{}", first, last);
  }
}

void say(const archive::Recovery& r, const Arguments& a) {
  for (const std::string& text : r.notes) note("{}: {}", a.archive, text);
  say_files(r);
  for (const size_t t : r.damaged_tensors) {
    const io::TensorRegion& region = r.archive.tensors()[t].region;
    note("  tensor lost in part: {} {} {}", region.name, info(region.dtype).name,
         shape_text(region.shape));
  }
  note("{} : {} of {} files and {} of {} tensors are whole, {} are lost; see {}", a.archive,
       r.whole_files.size(), r.whole_files.size() + r.damaged_files.size(), r.whole_tensors.size(),
       r.whole_tensors.size() + r.damaged_tensors.size(), size_text(r.lost_bytes), a.output);
}

void run(const Arguments& a) {
  archive::OpenOptions options;
  options.bases = to_paths(a.bases);
  const archive::Recovery recovery = archive::recover(a.archive, options);
  StagedFolder staged(a.output, a.force);
  extract(recovery, staged.path(), a);
  staged.commit();
  if (a.json) print_json(to_json(recovery));
  if (!a.quiet) say(recovery, a);
  if (!recovery.damaged_files.empty() || recovery.lost_bytes > 0) {
    print_error(fmt::format("{}: not everything could be recovered", a.archive));
    throw Exit{kExitError};
  }
}

}  // namespace

void add_recover(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("recover", "Save what can be saved of a damaged archive");
  c->add_option("archive", a->archive, "the damaged archive")->type_name("FILE.pith")->required();
  c->add_option("-o,--output", a->output, "folder for what is saved")->type_name("DIR")->required();
  add_bases(c, a->bases, "where the base of a delta is");
  add_threads(c, a->threads);
  c->add_flag("-f,--force", a->force, "write into a folder that is there already");
  c->add_flag("-q,--quiet", a->quiet, "say nothing but errors");
  c->add_flag("--json", a->json, "the result as JSON on standard output");
  c->footer(
      R"(Whole files come back under their names. Files of which bytes are lost come back as NAME.damaged, with
zeros in the holes and everything else in its place. Status 0 means that nothing was lost.

Examples:
  pith recover model.pith -o saved           works for whole archives, too
  pith recover model.pith -o saved2 --json   what is whole and what is lost, for programs)");
  c->callback([a] { run(*a); });
}

}  // namespace pith::command
