// Builders of small sample files, good and broken, for tests and fuzz seeds. Test-only.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/io/layout.h"

namespace pith::io::testing {

inline Bytes bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

inline void append(Bytes& out, ByteView more) { out.insert(out.end(), more.begin(), more.end()); }

// 0, 1, 2, … so that regions can be told apart by their content.
inline Bytes counting(size_t size) {
  Bytes out(size);
  for (size_t k = 0; k < size; ++k) out[k] = static_cast<uint8_t>(k);
  return out;
}

// What a description breaks of Layout's contract; empty when it keeps all of it.
inline std::string broken_promise(const std::vector<TensorRegion>& tensors, uint64_t file_size) {
  uint64_t end = 0;
  std::vector<std::string> names;
  for (const TensorRegion& region : tensors) {
    if (region.offset < end) return region.name + " overlaps or is out of order";
    if (region.size > file_size || region.offset > file_size - region.size) {
      return region.name + " is outside the file";
    }
    if (tensor_bytes(region.dtype, region.shape) != region.size) {
      return region.name + " has not the size of its shape";
    }
    end = region.offset + region.size;
    names.push_back(region.name);
  }
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  return twice == names.end() ? "" : *twice + " stands twice";
}

inline std::string broken_promise(const Description& description, uint64_t file_size) {
  std::string broken = broken_promise(description.layout.tensors, file_size);
  for (const Companion& companion : description.companions) {
    if (broken.empty()) broken = broken_promise(companion.tensors, UINT64_MAX);
    if (companion.path.is_absolute()) broken = companion.path.string() + " is absolute";
  }
  return broken;
}

inline Bytes safetensors_file(std::string_view json, ByteView data) {
  Bytes out;
  out.reserve(64);
  ByteWriter writer(out);
  writer.u64(json.size());
  writer.bytes(as_bytes(json));
  writer.bytes(data);
  return out;
}

inline Bytes npy_file(std::string_view dictionary, ByteView data, uint8_t version = 1) {
  Bytes out = bytes_of("\x93NUMPY");
  ByteWriter writer(out);
  writer.u8(version);
  writer.u8(0);
  if (version == 1) {
    writer.u16(static_cast<uint16_t>(dictionary.size()));
  } else {
    writer.u32(static_cast<uint32_t>(dictionary.size()));
  }
  writer.bytes(as_bytes(dictionary));
  writer.bytes(data);
  return out;
}

struct ZipEntry {
  std::string name;
  Bytes content;
  uint16_t method = 0;
  size_t padding = 0;  // an extra field in the local header only, as PyTorch aligns storages
  bool zip64 = false;  // sizes and offset in an extra field
};

// A zip archive whose contents are written as they are, whatever the method says.
class ZipBuilder {
 public:
  static Bytes build(const std::vector<ZipEntry>& entries) {
    ZipBuilder builder;
    for (const ZipEntry& entry : entries) builder.add(entry);
    return builder.finish(entries.size());
  }

 private:
  void add(const ZipEntry& entry) {
    const auto size = static_cast<uint32_t>(entry.content.size());
    const auto offset = static_cast<uint32_t>(out_.size());
    const auto crc = static_cast<uint32_t>(crc32_z(0, entry.content.data(), entry.content.size()));
    const auto header = [&](ByteWriter& writer, uint32_t stated, size_t extra) {
      for (const uint16_t v :
           {uint16_t{45}, uint16_t{0}, entry.method, uint16_t{0}, uint16_t{33}}) {
        writer.u16(v);
      }
      for (const uint32_t v : {crc, stated, stated}) writer.u32(v);
      writer.u16(static_cast<uint16_t>(entry.name.size()));
      writer.u16(static_cast<uint16_t>(extra));
    };
    ByteWriter local(out_);
    local.u32(0x04034b50);
    header(local, size, entry.padding);
    local.bytes(as_bytes(entry.name));
    local.bytes(Bytes(entry.padding, 'Z'));
    local.bytes(entry.content);
    ByteWriter central(directory_);
    central.u32(0x02014b50);
    central.u16(45);
    header(central, entry.zip64 ? 0xFFFFFFFF : size, entry.zip64 ? 28 : 0);
    for (int k = 0; k < 5; ++k) central.u16(0);
    central.u32(entry.zip64 ? 0xFFFFFFFF : offset);
    central.bytes(as_bytes(entry.name));
    if (!entry.zip64) return;
    central.u16(1);
    central.u16(24);
    for (const uint64_t v : {uint64_t{size}, uint64_t{size}, uint64_t{offset}}) central.u64(v);
  }

  Bytes finish(size_t count) {
    const auto begin = static_cast<uint32_t>(out_.size());
    append(out_, directory_);
    ByteWriter end(out_);
    end.u32(0x06054b50);
    end.u32(0);
    end.u16(static_cast<uint16_t>(count));
    end.u16(static_cast<uint16_t>(count));
    end.u32(static_cast<uint32_t>(directory_.size()));
    end.u32(begin);
    end.u16(0);
    return std::move(out_);
  }

  Bytes out_, directory_;
};

inline Bytes zip_file(const std::vector<ZipEntry>& entries) { return ZipBuilder::build(entries); }

// One Protocol Buffers message.
class Proto {
 public:
  Proto& varint(uint32_t field, uint64_t value) {
    ByteWriter writer(bytes_);
    writer.varint(field << 3);
    writer.varint(value);
    return *this;
  }
  Proto& bytes(uint32_t field, ByteView value) {
    ByteWriter writer(bytes_);
    writer.varint(field << 3 | 2);
    writer.varint(value.size());
    writer.bytes(value);
    return *this;
  }
  Proto& text(uint32_t field, std::string_view value) { return bytes(field, as_bytes(value)); }
  Proto& message(uint32_t field, const Proto& value) { return bytes(field, value.bytes_); }
  const Bytes& done() const { return bytes_; }

 private:
  Bytes bytes_;
};

// Instructions of a pickle, protocol 2.
class PickleWriter {
 public:
  PickleWriter() { raw("\x80\x02"); }
  PickleWriter& raw(std::string_view instructions) {
    append(bytes_, as_bytes(instructions));
    return *this;
  }
  PickleWriter& text(std::string_view value) {
    raw("X");
    ByteWriter(bytes_).u32(static_cast<uint32_t>(value.size()));
    return raw(value);
  }
  PickleWriter& number(int32_t value) {
    raw("J");
    ByteWriter(bytes_).u32(static_cast<uint32_t>(value));
    return *this;
  }
  PickleWriter& global(std::string_view module, std::string_view name) {
    return raw("c").raw(module).raw("\n").raw(name).raw("\n");
  }
  PickleWriter& numbers(const std::vector<int32_t>& values) {
    raw("(");
    for (const int32_t value : values) number(value);
    return raw("t");
  }
  // A tensor as torch.save pickles it.
  PickleWriter& tensor(std::string_view storage_type, std::string_view key, int32_t offset,
                       const std::vector<int32_t>& shape, const std::vector<int32_t>& strides) {
    global("torch._utils", "_rebuild_tensor_v2").raw("((").text("storage");
    global("torch", storage_type).text(key).text("cpu").number(0).raw("tQ").number(offset);
    return numbers(shape)
        .numbers(strides)
        .raw("\x89")
        .global("collections", "OrderedDict")
        .raw(")RtR");
  }
  Bytes done() {
    raw(".");
    return bytes_;
  }

 private:
  Bytes bytes_;
};

}  // namespace pith::io::testing
