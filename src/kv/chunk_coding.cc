#include "pith/kv/chunk_coding.h"

#include <algorithm>
#include <array>

#include "chunk_shape.h"
#include "pith/base/bytes.h"
#include "pith/base/error.h"
#include "pith/base/random.h"
#include "pith/form/arguments.h"
#include "pith/form/form.h"
#include "stream_header.h"

namespace pith::kv {
namespace {

using form::Matrix;

constexpr uint8_t kForms = 1;  // the byte that a chunk begins with
// The arguments of a cache that say how numbers are held.
constexpr std::array<std::string_view, 5> kOfForms = {"form", "keys", "values", "keys_by",
                                                      "values_by"};

Matrix turned(form::MatrixView m) {
  Matrix out({m.shape.cols, m.shape.rows});
  for (uint64_t r = 0; r < m.shape.rows; ++r) {
    for (uint64_t c = 0; c < m.shape.cols; ++c) out.row(c)[r] = m.row(r)[c];
  }
  return out;
}

void write_part(const Coding& coding, form::MatrixView part, ByteWriter& to) {
  const Bytes bytes = coding.by == By::kToken
                          ? form::write(*form::encode(coding.form, part))
                          : form::write(*form::encode(coding.form, turned(part).view()));
  to.u8(static_cast<uint8_t>(coding.by));
  to.varint(bytes.size());
  to.bytes(bytes);
}

void read_part(ByteReader& from, form::Shape shape, float* out) {
  const uint8_t by = from.u8();
  if (by > static_cast<uint8_t>(By::kToken)) from.bad("neither by channel nor by token");
  const form::FormPtr form = form::read(from.bytes(from.count(1)), nullptr);
  const bool token = by == static_cast<uint8_t>(By::kToken);
  const form::Shape is = form->shape();
  if (is.rows != (token ? shape.rows : shape.cols) || is.cols != (token ? shape.cols : shape.rows))
    from.bad("a form of another shape");
  Matrix m = form::decode(*form);
  if (!token) m = turned(m.view());
  std::ranges::copy(m.values, out);
}

Bytes encode_forms(const CacheOptions& forms, const Arrays& arrays) {
  check_size(arrays);
  Bytes out;
  ByteWriter to(out);
  to.u8(kForms);
  write_shape(arrays, to);
  const form::Shape shape{arrays.tokens, arrays.head_size};
  for (uint64_t h = 0; h < arrays.all_heads() && shape.size() > 0; ++h) {
    write_part(forms.keys, {arrays.keys.data() + h * shape.size(), shape}, to);
    write_part(forms.values, {arrays.values.data() + h * shape.size(), shape}, to);
  }
  return out;
}

Arrays decode_forms(ByteView bytes) {
  ByteReader from(bytes, "a chunk of keys and values");
  if (from.u8() != kForms) from.bad("of no kind that there is");
  Arrays a = read_shape(from);
  const form::Shape shape{a.tokens, a.head_size};
  for (uint64_t h = 0; h < a.all_heads() && shape.size() > 0; ++h) {
    // Room is taken as forms turn up, so that a declared size alone takes none.
    a.keys.resize((h + 1) * shape.size());
    a.values.resize((h + 1) * shape.size());
    read_part(from, shape, a.keys.data() + h * shape.size());
    read_part(from, shape, a.values.data() + h * shape.size());
  }
  from.expect_end();
  return a;
}

}  // namespace

ChunkCoding ChunkCoding::parse(std::string_view text) {
  const form::Expression e = form::parse(text);
  if (e.is_call() && e.name() == "stream") return ChunkCoding(StreamOptions::parse(e));
  if (e.is_call() && e.name() == "cache") form::Arguments(e, kOfForms);
  return ChunkCoding(CacheOptions::parse(text));
}

std::string ChunkCoding::text() const {
  if (const auto* stream = std::get_if<StreamOptions>(&how_)) return stream->text();
  // Of the rest of a cache a chunk has nothing.
  const form::Expression all = form::parse(std::get<CacheOptions>(how_).text());
  std::vector<form::Argument> args;
  for (const form::Argument& a : all.arguments()) {
    if (std::ranges::find(kOfForms, a.key) != kOfForms.end()) args.push_back(a);
  }
  return form::to_string(form::Expression::call(all.name(), std::move(args)));
}

std::string ChunkCoding::name() const {
  const auto* stream = std::get_if<StreamOptions>(&how_);
  return stream ? stream->name() : text();
}

ChunkCoding ChunkCoding::with_rotation(const Rotation& of_model) const {
  const auto* stream = std::get_if<StreamOptions>(&how_);
  return stream ? ChunkCoding(stream->with_rotation(of_model)) : *this;
}

std::shared_ptr<const Profile> ChunkCoding::profile() const {
  const auto* stream = std::get_if<StreamOptions>(&how_);
  return stream ? stream->profile : nullptr;
}

void ChunkCoding::check(const std::vector<uint64_t>& heads, uint64_t head_size,
                        uint64_t tokens) const {
  if (const auto* stream = std::get_if<StreamOptions>(&how_))
    return check_stream({.heads = heads, .tokens = tokens, .head_size = head_size}, *stream);
  // Of one head, for each is by itself; what forms ask of many tokens is that groups and blocks
  // divide their number.
  constexpr uint64_t kTried = 4096;
  Arrays trial{.heads = {1},
               .tokens = tokens < 2 * kTried ? tokens : kTried + tokens % kTried,
               .head_size = head_size};
  for (uint64_t i = 0; i < trial.size(); ++i)
    trial.keys.push_back(static_cast<float>(random_normal(1, i)));
  trial.values = trial.keys;
  encode(trial);
}

Bytes ChunkCoding::encode(const Arrays& arrays, int threads) const {
  const auto* stream = std::get_if<StreamOptions>(&how_);
  return stream ? encode_stream(arrays, *stream, threads)
                : encode_forms(std::get<CacheOptions>(how_), arrays);
}

Arrays decode_chunk(ByteView bytes, const std::shared_ptr<const Profile>& profile, int threads) {
  if (bytes.empty() || bytes[0] != kStream) return decode_forms(bytes);
  if (!stream_begins(bytes)) fail(ErrorKind::kData, "a stream of keys and values: truncated");
  StreamReader reader(profile);
  reader.add(bytes, threads);
  return reader.take();
}

}  // namespace pith::kv
