#include "output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "signals.h"

namespace pith::command {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void stream_error(std::string_view what) {
  fail(ErrorKind::kIo, "{}: {}", what, std::strerror(errno));
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

int unnamed_file() {
  const char* folder = std::getenv("TMPDIR");
  const std::string base = folder && *folder ? folder : "/tmp";
  int fd = ::open(base.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  std::string name = base + "/pith-XXXXXX";  // file systems without O_TMPFILE
  fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) stream_error(base + ": cannot create a temporary file");
  ::unlink(name.c_str());
  return fd;
}

void write_all(int fd, ByteView data, std::string_view what) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) throw BrokenPipe{};
    if (n < 0) stream_error(what);
    data = data.subspan(static_cast<size_t>(n));
  }
}

}  // namespace

void write_stdout(ByteView data) {
  write_all(STDOUT_FILENO, data, "standard output: cannot write");
}
void write_stdout(std::string_view text) { write_stdout(as_bytes(text)); }

void print_json(const Json& json) {
  write_stdout(json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO); }
bool stdin_is_terminal() { return ::isatty(STDIN_FILENO); }

std::unique_ptr<MappedFile> spool_stdin() {
  const Descriptor file{unnamed_file()};
  Bytes buffer(size_t{1} << 20);
  for (;;) {
    if (interrupted()) fail(ErrorKind::kIo, "interrupted");
    const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) stream_error("standard input: cannot read");
    if (n == 0) break;
    write_all(file.fd, ByteView(buffer).first(static_cast<size_t>(n)),
              "cannot keep standard input in a temporary file");
  }
  return std::make_unique<MappedFile>(fmt::format("/proc/self/fd/{}", file.fd));
}

std::string text_of(const std::string& path) {
  const auto file = path == "-" ? spool_stdin() : std::make_unique<MappedFile>(path);
  return {file->bytes().begin(), file->bytes().end()};
}

OpenedArchive open_archive(const std::string& path, const archive::OpenOptions& options) {
  if (path != "-") return {nullptr, path, archive::Archive::open(path, options)};
  auto spool = spool_stdin();
  const std::string label = "(standard input)";
  try {
    archive::Archive opened = archive::Archive::open_memory(spool->bytes(), options);
    return {std::move(spool), label, std::move(opened)};
  } catch (const Error& e) {
    throw e.in(label);
  }
}

fs::path output_path(const fs::path& name, bool force) {
  std::error_code error;
  const fs::file_status status = fs::status(name, error);
  if (!fs::exists(status)) {
    if (!fs::is_symlink(fs::symlink_status(name, error))) return name;
    fail(ErrorKind::kIo, "{}: is a symbolic link to nothing", name.string());
  }
  if (!fs::is_regular_file(status) && !fs::is_directory(status)) {
    fail(ErrorKind::kIo, "{}: is not a regular file (to write there, use -c and redirect)",
         name.string());
  }
  if (!force) fail(ErrorKind::kIo, "{}: exists already (use --force to overwrite)", name.string());
  return fs::is_symlink(fs::symlink_status(name)) ? fs::canonical(name) : name;
}

std::vector<fs::path> to_paths(const std::vector<std::string>& names) {
  return {names.begin(), names.end()};
}

}  // namespace pith::command
