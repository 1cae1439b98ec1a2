// Standard output, and where the input comes from when it is no file with a name.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/base/file.h"

namespace pith::command {

using Json = nlohmann::ordered_json;

// Somebody closed the other end of standard output.
struct BrokenPipe {};

// Writes to standard output; throws BrokenPipe, or kIo.
void write_stdout(ByteView data);
void write_stdout(std::string_view text);
// One JSON document and a line feed; names that are not UTF-8 are made so.
void print_json(const Json& json);

bool stdout_is_terminal();
bool stdin_is_terminal();

// A pipe copied to a temporary file without a name ($TMPDIR, else /tmp) and mapped.
std::unique_ptr<MappedFile> spool_stdin();
// What a file holds, as text; '-': standard input.
std::string text_of(const std::string& path);

// An archive to be read, "-" for standard input.
struct OpenedArchive {
  std::unique_ptr<MappedFile> spool;  // outlives `archive`
  std::string label;                  // for messages
  archive::Archive archive;
};
OpenedArchive open_archive(const std::string& path, const archive::OpenOptions& options);

// Where an output called `name` goes: through symbolic links, as a shell's redirection does.
// Refused (kIo) are devices and pipes, which would be replaced by a file, and what exists without
// `force`.
std::filesystem::path output_path(const std::filesystem::path& name, bool force);

std::vector<std::filesystem::path> to_paths(const std::vector<std::string>& names);

}  // namespace pith::command
