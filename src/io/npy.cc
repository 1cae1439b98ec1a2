#include "npy.h"

#include <algorithm>
#include <charconv>

#include "pith/io/names.h"
#include "pith/io/text.h"
#include "readers.h"

namespace pith::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint64_t kMaxHeader = 1 << 20;
constexpr size_t kMaxDimensions = 64;  // NumPy 2 has 64, NumPy 1 had 32

// What the header says. An empty descr stands for a structured type.
struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<uint64_t> shape;
};

// Reads the one Python literal that a header is: a dictionary of a string (or a list, for
// structured types), a truth value and a tuple of integers.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Header parse() {
    expect('{');
    while (!take('}')) {
      const std::string key = string();
      expect(':');
      member(key);
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    if (found_ != 7) bad("descr, fortran_order or shape is missing");
    if (peek()) bad("text follows the dictionary");
    return std::move(header_);
  }

 private:
  void member(std::string_view key) {
    if (key == "descr") {
      peek() == '[' ? skip_list() : void(header_.descr = string());
      found_ |= 1;
    } else if (key == "fortran_order") {
      header_.fortran_order = truth();
      found_ |= 2;
    } else if (key == "shape") {
      header_.shape = tuple();
      found_ |= 4;
    } else {
      bad("an unknown key");
    }
  }

  // The next character that is not white space, 0 at the end.
  char peek() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) bad(fmt::format("'{}' is missing", c));
  }
  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') bad("a string is missing");
    const size_t end = text_.find(quote, ++at_);
    if (end == text_.npos) bad("a string does not end");
    const std::string_view value = text_.substr(at_, end - at_);
    at_ = end + 1;
    return std::string(value);
  }
  bool truth() {
    peek();
    for (const std::string_view word : {"True", "False"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return word == "True";
    }
    bad("fortran_order is neither True nor False");
  }
  uint64_t integer() {
    peek();
    uint64_t value = 0;
    const char* const end = text_.data() + text_.size();
    const auto [stop, error] = std::from_chars(text_.data() + at_, end, value);
    if (error != std::errc()) bad("a length is not a number");
    at_ = static_cast<size_t>(stop - text_.data());
    take('L');  // Python 2 wrote long integers so
    return value;
  }
  std::vector<uint64_t> tuple() {
    std::vector<uint64_t> values;
    expect('(');
    while (!take(')')) {
      values.push_back(integer());
      if (values.size() > kMaxDimensions) bad("too many dimensions");
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }
  // A structured type: only its end matters. Names of fields may hold brackets.
  void skip_list() {
    size_t depth = 0;
    do {
      const char c = peek();
      if (c == '\'' || c == '"') {
        string();
        continue;
      }
      if (c == '\0') bad("a list does not end");
      depth += c == '[' || c == '(';
      depth -= c == ']' || c == ')';
      ++at_;
    } while (depth > 0);
  }
  [[noreturn]] void bad(std::string_view why) const {
    fail(ErrorKind::kData, "npy header: {} at character {}", why, at_);
  }

  std::string_view text_;
  size_t at_ = 0;
  unsigned found_ = 0;
  Header header_;
};

std::string_view header_text(ByteReader& reader) {
  if (as_text(reader.bytes(kMagic.size())) != kMagic) reader.bad("the magic is missing");
  const uint8_t major = reader.u8();
  reader.u8();
  if (major < 1 || major > 3) reader.bad("the version is unknown");
  const uint64_t size = major == 1 ? reader.u16() : reader.u32();
  if (size > kMaxHeader) reader.bad("the header is too long");
  return as_text(reader.bytes(size));
}

}  // namespace

void add_npy(LayoutBuilder& layout, ByteView array, uint64_t at, std::string name) {
  ByteReader reader(array, "npy");
  Header header = HeaderParser(header_text(reader)).parse();
  const auto type = numpy_dtype(header.descr);
  if (!type) {
    const std::string what = header.descr.empty() ? "a structure" : in_quotes(header.descr);
    return layout.note(fmt::format("the element type is {}; it stays plain bytes", what), name);
  }
  TensorRegion region{
      std::move(name), type->dtype, std::move(header.shape), checked_add(at, reader.offset()), 0,
      type->big_endian};
  const auto size = tensor_bytes(region.dtype, region.shape);
  if (!size || *size > reader.remaining()) {
    fail(ErrorKind::kData, "npy array {}: it is shorter than its shape", in_quotes(region.name));
  }
  if (header.fortran_order && region.shape.size() > 1) {
    std::ranges::reverse(region.shape);
    layout.note("stored in Fortran order; its dimensions are given in reverse", region.name);
  }
  if (type->dtype == DType::kBF16) {
    layout.note("its 2-byte void elements are taken as bf16", region.name);
  }
  layout.add(std::move(region));
}

bool looks_like_npy(ByteView file, const std::filesystem::path&) {
  return file.size() >= kMagic.size() && as_text(file.first(kMagic.size())) == kMagic;
}

Description read_npy(ByteView file, const std::filesystem::path& name) {
  LayoutBuilder layout("npy", file.size(), LayoutBuilder::Broken::kRefuse);
  const std::string stem = name.stem().string();
  add_npy(layout, file, 0, stem.empty() ? "array" : stem);
  return {layout.finish(), {}, {}};
}

}  // namespace pith::io
