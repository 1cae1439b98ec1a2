#include "bench_llama.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bench_peers.h"

namespace pith::bench {

bool has_llama() {
  const char* const command = std::getenv("PITH_LLAMA");
  return command != nullptr && *command != '\0';
}

std::string llama_hint() {
  return "llama.cpp: get its shared libraries (https://github.com/ggml-org/llama.cpp) and set "
         "PITH_LLAMA=\"python3 tools/peer_llama_cpp.py\" and PITH_LLAMA_LIBS to their folder";
}

ModelSpeed llama(const std::filesystem::path& model, const SpeedRun& run) {
  const std::string command = fmt::format(
      "{} speed {} --threads {} --prefill {} --decode {} --runs {}", std::getenv("PITH_LLAMA"),
      quoted(model.string()), run.threads, run.prefill, run.decode, run.runs);
  const std::string out = output_of(command);
  const auto answer = nlohmann::json::parse(out, nullptr, false);
  ModelSpeed speed;
  if (!answer.is_object()) {
    speed.error = fmt::format("$PITH_LLAMA printed no JSON: {}", out.substr(0, 80));
  } else if (answer.contains("error")) {
    speed.error = answer["error"].get<std::string>();
  } else {
    speed.prefill = answer.value("prefill", 0.0);
    speed.decode = answer.value("decode", 0.0);
  }
  return speed;
}

}  // namespace pith::bench
