#include "recipes.h"

namespace pith::recipe {
namespace {

void use(const Values& values, Plan& plan) { plan.write.level = parse_level(values.at("level")); }

}  // namespace

Recipe zipnn() {
  Recipe r;
  r.name = "zipnn";
  r.id = "S259";
  r.title = "ZipNN: Lossless Compression for AI Models";
  r.area = "lossless";
  r.summary =
      "Exponents of floating-point weights are skewed, signs and mantissas are nearly noise: the "
      "two are "
      "regrouped into streams of their own, exponents are entropy-coded without a search for "
      "matches, and "
      "mantissas are coded only where a sample says that rounding left structure. With a base, the "
      "stream "
      "of differences is coded where that is smaller.";
  r.compose = "tiles(chunk: [delta(base) |] planes(exponent, sign+mantissa) > rans | store)";
  r.differs =
      "rANS instead of Huffman codes; chunks of about 1 MiB cut along tensor rows instead of 256 "
      "KB; the "
      "coder of each stream is chosen by measuring, so integer, sparse and text data get other "
      "layouts.";
  r.verified =
      "unit and property tests of lossless and archive, fuzzed decoders; `pith bench lossless` "
      "prints it "
      "beside ZipNN, zstd and others on the same files in the same run.";
  r.example = "pith compress model.safetensors --recipe zipnn";
  r.parts = {"lossless/codec.h", "entropy/nibble_rans.h", "entropy/byte_rans.h",
             "archive/writer.h"};
  r.options = {
      {"level", "default", "fast, default or max: how much time the choice and coding may take"}};
  r.place = {.acts = {Act::kCoded},
             .patterns = {},
             .criterion = Criterion::kNothing,
             .moment = Moment::kOneShot,
             .data = Data::kNone,
             .adapts = Adapts::kNothing};
  r.apply = use;
  return r;
}

}  // namespace pith::recipe
