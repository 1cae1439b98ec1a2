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

namespace {

// What a call of $PITH_LLAMA printed, or why not, under "error".
nlohmann::json answer_of(const std::string& arguments) {
  const std::string out = output_of(fmt::format("{} {}", std::getenv("PITH_LLAMA"), arguments));
  auto answer = nlohmann::json::parse(out, nullptr, false);
  if (!answer.is_object())
    return {{"error", fmt::format("$PITH_LLAMA printed no JSON: {}", out.substr(0, 80))}};
  return answer;
}

}  // namespace

ModelSpeed llama(const std::filesystem::path& model, const SpeedRun& run) {
  const auto answer = answer_of(
      fmt::format("speed {} --threads {} --prefill {} --decode {} --runs {}",
                  quoted(model.string()), run.threads, run.prefill, run.decode, run.runs));
  return {answer.value("prefill", 0.0), answer.value("decode", 0.0),
          answer.value("error", std::string())};
}

DeepRun llama_behind(const std::filesystem::path& model, const DeepOptions& o) {
  const auto answer = answer_of(
      fmt::format("behind {} --threads {} --prefill {} --decode {} --runs {} --cache-type {}{}",
                  quoted(model.string()), o.threads, o.depth, o.steps, o.runs, o.type,
                  o.cpu_time ? " --cpu-time" : ""));
  return {answer.value("deep", 0.0), answer.value("shallow", 0.0),
          answer.value("error", std::string())};
}

}  // namespace pith::bench
