#include "bench_weights_peer.h"

#include <fmt/ranges.h>
#include <fnmatch.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "bench_peers.h"
#include "pith/base/file.h"
#include "pith/base/parallel.h"
#include "pith/io/text.h"
#include "pith/model/export_gguf.h"
#include "pith/model/prompt.h"
#include "pith/model/tensor_names.h"
#include "pith/weights/calibration_statistics.h"

namespace pith::bench {
namespace {

namespace fs = std::filesystem;

constexpr PeerMix kMixes[] = {
    {"Q8_0", false, false},   {"Q6_K", false, false},   {"Q5_K_M", false, false},
    {"Q5_0", false, false},   {"Q4_K_M", false, false}, {"Q4_K_S", false, false},
    {"IQ4_XS", false, false}, {"IQ4_NL", false, false}, {"Q4_0", false, false},
    {"Q3_K_L", false, false}, {"Q3_K_M", false, false}, {"Q3_K_S", false, false},
    {"Q2_K", false, false},   {"Q6_K", true, false},    {"Q5_K_M", true, false},
    {"Q5_K_S", true, false},  {"Q5_0", true, false},    {"Q4_K_M", true, false},
    {"Q4_K_S", true, false},  {"IQ4_XS", true, false},  {"IQ4_NL", true, false},
    {"Q4_0", true, false},    {"Q3_K_L", true, false},  {"Q3_K_M", true, false},
    {"Q3_K_S", true, false},  {"IQ3_M", true, false},   {"IQ3_S", true, false},
    {"IQ3_XS", true, false},  {"IQ3_XXS", true, false}, {"Q2_K", true, false},
    {"Q2_K_S", true, false},  {"IQ2_M", true, false},   {"IQ2_S", true, false},
    {"IQ2_XS", true, false},  {"IQ2_XXS", true, false}, {"IQ1_M", true, false},
    {"IQ1_S", true, false},   {"Q5_K_S", true, true},   {"Q4_K_S", true, true},
    {"IQ4_XS", true, true},   {"Q3_K_S", true, true},   {"IQ3_S", true, true},
    {"IQ3_XXS", true, true},  {"Q2_K", true, true},     {"IQ2_S", true, true},
    {"IQ2_XS", true, true},   {"IQ2_XXS", true, true},  {"IQ1_M", true, true},
    {"IQ1_S", true, true},    {"Q4_0", true, true},     {"IQ4_NL", true, true},
};
constexpr uint64_t kWindow = 512;

Json answer(const std::string& arguments) {
  const std::string out = output_of(fmt::format("{} {}", std::getenv("PITH_LLAMA"), arguments));
  Json answer = Json::parse(out, nullptr, false);
  if (!answer.is_object()) {
    fail(ErrorKind::kData, "$PITH_LLAMA printed no JSON: {}", out.substr(0, 80));
  }
  if (answer.contains("error")) {
    fail(ErrorKind::kData, "llama.cpp: {}", answer["error"].get<std::string>());
  }
  return answer;
}

// Windows spread evenly over the text.
std::vector<int32_t> spread_windows(const std::vector<int32_t>& ids, uint64_t windows) {
  const uint64_t all = ids.size() / kWindow;
  if (all == 0) fail(ErrorKind::kUsage, "the calibration text has less than {} tokens", kWindow);
  const uint64_t count = std::min(windows, all);
  std::vector<int32_t> out;
  for (uint64_t w = 0; w < count; ++w) {
    const auto from = ids.begin() + static_cast<ptrdiff_t>(w * all / count * kWindow);
    out.insert(out.end(), from, from + kWindow);
  }
  return out;
}

}  // namespace

std::string PeerMix::name() const {
  return fmt::format("{}{}{}", type, pure ? " pure" : "", importance ? " +im" : "");
}

std::vector<PeerMix> peer_mixes(const Options& options) {
  std::vector<PeerMix> mixes;
  for (const PeerMix& mix : kMixes) {
    if (fnmatch(options.files.c_str(), mix.name().c_str(), 0) != 0) continue;
    if (!options.quick || (mix.importance && !mix.pure)) mixes.push_back(mix);
  }
  return mixes;
}

PeerQuantizer::PeerQuantizer(WeightInputs inputs, uint64_t windows, fs::path folder)
    : inputs_(std::move(inputs)), folder_(std::move(folder)), windows_(windows) {
  fs::create_directories(folder_);
}

fs::path PeerQuantizer::source() {
  fs::path file = folder_ / "source.gguf";
  if (!fs::exists(file)) model::export_gguf(inputs_.bare, file, {.threads = 0});
  return file;
}

fs::path PeerQuantizer::importance() {
  fs::path file = folder_ / fmt::format("importance-{}.json", windows_);
  if (fs::exists(file)) return file;
  const model::LanguageModel model = model::load_model(inputs_.model);
  const MappedFile text(inputs_.calibration);
  const auto ids = spread_windows(
      model::text_ids(model, io::as_text(text.bytes()), {.add_bos = false}), windows_);
  const auto statistics = weights::calibrate(model, ids, kWindow, {.gradient_tokens = 0});
  Json squares = Json::object();
  for (const auto& [name, tensor] : statistics.tensors) {
    const auto gguf = model::gguf_tensor_name(name);
    if (!gguf || !tensor.inputs) continue;
    if (gguf->expert) fail(ErrorKind::kUsage, "{}: importance of experts is not written", name);
    squares[gguf->name] = tensor.inputs->squares;
  }
  // Rows of the embedding are looked up: its columns matter alike. llama.cpp has no figures for it
  // and refuses its smallest types without.
  squares["token_embd.weight"] = std::vector<double>(model.config().width, 1.0);
  write_file(file, as_bytes(squares.dump()), true);
  return file;
}

fs::path PeerQuantizer::make(const PeerMix& mix) {
  fs::path file = folder_ / fmt::format("{}{}{}.gguf", mix.type, mix.pure ? "-pure" : "",
                                        mix.importance ? fmt::format("-im{}", windows_) : "");
  if (fs::exists(file)) return file;
  std::string command = fmt::format("quantize {} -o {} --type {}", quoted(source().string()),
                                    quoted(file.string()), mix.type);
  if (mix.pure) command += " --pure";
  if (mix.importance) command += " --importance " + quoted(importance().string());
  answer(command);
  return file;
}

fs::path PeerQuantizer::decoded(const fs::path& file) {
  fs::path plain = folder_ / "decoded.gguf";
  fs::remove(plain);
  answer(
      fmt::format("quantize {} -o {} --type F32", quoted(file.string()), quoted(plain.string())));
  return plain;
}

PeerScore peer_score(const fs::path& model, const PeerRun& run) {
  std::string command =
      fmt::format("score {} --ids @{} --context {} --threads {}", quoted(model.string()),
                  quoted(run.ids.string()), run.context, thread_count(0));
  if (!run.save.empty()) command += " --save " + quoted(run.save.string());
  if (!run.reference.empty()) command += " --reference " + quoted(run.reference.string());
  const Json got = answer(command);
  return {got.at("perplexity"), got.value("kl", 0.0), got.value("top1", 0.0)};
}

std::vector<MatrixFigures> peer_matrices(const fs::path& file, uint64_t columns,
                                         const std::vector<std::string>& types) {
  const Json all = answer(fmt::format("matrices {} --columns {} --types {}", quoted(file.string()),
                                      columns, fmt::join(types, ",")));
  std::vector<MatrixFigures> figures;
  for (const std::string& type : types) {
    figures.push_back({all.at(type).at("bits"), all.at(type).at("error")});
  }
  return figures;
}

}  // namespace pith::bench
