#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bench_peers.h"

namespace pith::bench {

std::string quoted(const std::string& word) {
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string output_of(const std::string& command) {
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) fail(ErrorKind::kIo, "cannot run {}", command);
  std::string out;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) out += static_cast<char>(c);
  pclose(pipe);
  return out;
}

bool has_zipnn() {
  const char* const command = std::getenv("PITH_ZIPNN");
  return command != nullptr && *command != '\0';
}

std::string zipnn_hint() {
  return "ZipNN: install it (https://github.com/zipnn/zipnn) and set "
         "PITH_ZIPNN=\"python3 tools/peer_zipnn.py\"";
}

Measurement zipnn(const std::string& name, const std::string& type, const std::string& file,
                  const std::string& base, int runs, Clock clock) {
  std::string command =
      fmt::format("{} {} {} --runs {}", std::getenv("PITH_ZIPNN"), type, quoted(file), runs);
  if (clock == Clock::kCpu) command += " --cpu-time";
  if (!base.empty()) command += " --base " + quoted(base);
  const std::string out = output_of(command);
  const auto answer = nlohmann::json::parse(out, nullptr, false);
  Measurement m;
  m.name = name;
  if (!answer.is_object()) {
    m.error = fmt::format("$PITH_ZIPNN printed no JSON: {}", out.substr(0, 80));
  } else if (answer.contains("error")) {
    m.error = answer["error"].get<std::string>();
  } else {
    m.raw = answer.value("input", uint64_t{0});
    m.coded = answer.value("output", uint64_t{0});
    m.encode = answer.value("encode", 0.0);
    m.decode = answer.value("decode", 0.0);
    if (answer.contains("as")) m.name += " (as " + answer["as"].get<std::string>() + ")";
  }
  return m;
}

}  // namespace pith::bench
