// How forms are written: parameters as varints, arrays aligned so that kernels can use them where
// they lie in a mapped file, forms within forms.
#pragma once

#include <string>

#include "pith/form/form.h"

namespace pith::form {

// Arrays begin at multiples of this, counted from the beginning of the outermost form.
inline constexpr uint64_t kArrayAlignment = 64;
// Forms within forms.
inline constexpr int kMostNested = 32;
// Elements of a form that is read; larger ones are refused.
inline constexpr uint64_t kMostElements = uint64_t{1} << 44;

class BodyWriter {
 public:
  // Null: only counts.
  explicit BodyWriter(Bytes* out) : out_(out) {}

  void varint(uint64_t v);
  void f32(float v);
  void string(std::string_view s);
  void array(ByteView bytes);
  void form(const Form& form);

  uint64_t size() const { return size_; }

 private:
  void put(ByteView bytes);

  Bytes* out_;
  uint64_t size_ = 0;
};

class BodyReader {
 public:
  BodyReader(ByteView bytes, std::shared_ptr<const void> owner)
      : bytes_(bytes), in_(bytes, "form"), owner_(std::move(owner)) {}

  uint64_t varint() { return in_.varint(); }
  // A varint that must be in [least, most].
  uint64_t varint(uint64_t least, uint64_t most, std::string_view what);
  float f32();
  std::string string() { return in_.string(); }
  // An array of exactly so many bytes.
  Buffer array(uint64_t size);
  FormPtr form();
  void expect_end() const { in_.expect_end(); }
  [[noreturn]] void bad(std::string_view why) { in_.bad(why); }

 private:
  ByteView bytes_;
  ByteReader in_;
  std::shared_ptr<const void> owner_;
  int depth_ = 0;
};

}  // namespace pith::form
