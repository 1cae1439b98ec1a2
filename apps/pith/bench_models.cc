#include "bench_models.h"

#include <cmath>
#include <memory>

#include "pith/archive/writer.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "pith/form/ggml_tensor.h"
#include "pith/io/gguf_write.h"
#include "pith/model/export_gguf.h"

namespace pith::bench {
namespace {

model::DecoderConfig billion() {
  model::DecoderConfig c;
  c.name = "1B-shaped, random";
  c.vocabulary = 32'000;
  c.layers = 16;
  c.width = 2048;
  c.heads = 32;
  c.kv_heads = 8;
  c.head_size = c.rope_size = 64;
  c.feed_forward = 8192;
  c.rope_base = 500'000;
  c.context = 8192;
  c.tied_embeddings = true;
  return c;
}

uint64_t next(uint64_t& state) {
  state += 0x9e3779b97f4a7c15;
  uint64_t z = (state ^ state >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// Sums of uniform variables, one in 64 three times as large, times a size for each row.
void fill_row(std::span<float> row, uint64_t seed) {
  uint64_t state = seed;
  const double spread = static_cast<double>(next(state) >> 11) * 0x1p-53 - 0.5;
  const double size = std::exp2(1.5 * spread) / std::sqrt(static_cast<double>(row.size()));
  const auto unit = static_cast<float>(size * 0x1p-16 * std::sqrt(3.0));
  for (float& v : row) {
    const uint64_t r = next(state);
    const auto sum =
        static_cast<int32_t>((r & 0xFFFF) + (r >> 16 & 0xFFFF) + (r >> 32 & 0xFFFF) + (r >> 48)) -
        0x1FFFE;
    v = unit * static_cast<float>(sum) * ((r * 0x2545F4914F6CDD1D) >> 58 == 0 ? 3.0f : 1.0f);
  }
}

Bytes random_matrix(uint64_t rows, uint64_t cols, DType type, uint64_t seed) {
  struct Stripe {
    uint64_t first, last;
    Buffer coded;
  };
  constexpr uint64_t kRows = 256;
  uint64_t at = 0;
  Bytes out;
  ordered_pipeline<Stripe>(
      thread_count(0),
      [&]() -> std::unique_ptr<Stripe> {
        if (at >= rows) return nullptr;
        auto s = std::make_unique<Stripe>(Stripe{at, std::min(at + kRows, rows), {}});
        at = s->last;
        return s;
      },
      [&](Stripe& s) {
        form::Matrix m({s.last - s.first, cols});
        for (uint64_t r = s.first; r < s.last; ++r) fill_row(m.row(r - s.first), seed << 32 | r);
        s.coded = form::to_ggml(type, m.view());
      },
      [&](Stripe& s) { out.insert(out.end(), s.coded.bytes.begin(), s.coded.bytes.end()); });
  return out;
}

struct Named {
  const char* name;
  uint64_t rows, cols;  // cols 0: a vector of ones
};

}  // namespace

void make_billion(DType type, const std::filesystem::path& file) {
  if (std::filesystem::exists(file)) return;
  const model::DecoderConfig c = billion();
  const uint64_t kv = uint64_t{c.kv_heads} * c.head_size;
  const Named layer[] = {{"attn_norm", c.width, 0},
                         {"attn_q", c.width, c.width},
                         {"attn_k", kv, c.width},
                         {"attn_v", kv, c.width},
                         {"attn_output", c.width, c.width},
                         {"ffn_norm", c.width, 0},
                         {"ffn_gate", c.feed_forward, c.width},
                         {"ffn_up", c.feed_forward, c.width},
                         {"ffn_down", c.width, c.feed_forward}};
  std::vector<io::TensorInfo> table = {{"token_embd.weight", type, {c.vocabulary, c.width}}};
  for (uint32_t l = 0; l < c.layers; ++l) {
    for (const Named& n : layer) {
      const bool vector = n.cols == 0;
      table.push_back({fmt::format("blk.{}.{}.weight", l, n.name), vector ? DType::kF32 : type,
                       vector ? std::vector{n.rows} : std::vector{n.rows, n.cols}});
    }
  }
  table.push_back({"output_norm.weight", DType::kF32, {c.width}});
  io::GgufMetadata metadata = model::gguf_metadata(c);
  metadata.emplace_back("tokenizer.ggml.model", std::string("no_vocab"));
  std::filesystem::create_directories(file.parent_path());
  io::GgufWriter out(file, true, metadata, table);

  Bytes ones;
  ByteWriter writer(ones);
  for (uint32_t i = 0; i < c.width; ++i) writer.u32(std::bit_cast<uint32_t>(1.0f));
  out.write(random_matrix(c.vocabulary, c.width, type, 1));
  std::vector<Bytes> tensors;
  uint64_t seed = 2;
  for (const Named& n : layer) {
    tensors.push_back(n.cols == 0 ? ones : random_matrix(n.rows, n.cols, type, seed++));
  }
  for (uint32_t l = 0; l < c.layers; ++l) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      // Other rows come first in every layer: equal tensors would share their bytes in an archive.
      const ByteView bytes = tensors[i];
      const size_t first = layer[i].cols == 0 ? 0 : bytes.size() / layer[i].rows * l;
      out.write(bytes.subspan(first));
      out.write(bytes.first(first));
    }
  }
  out.write(ones);
  out.commit();
}

void make_billion_form(const std::string& expression, const std::filesystem::path& source,
                       const std::filesystem::path& file) {
  if (std::filesystem::exists(file)) return;
  archive::write_archive(archive::expand_inputs(std::span(&source, 1)), file,
                         {.forms = {archive::parse_form_rule(expression)}});
}

}  // namespace pith::bench
