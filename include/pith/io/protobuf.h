// Protocol Buffers' wire format, read field by field.
#pragma once

#include "pith/base/bytes.h"

namespace pith::io {

struct ProtoField {
  enum Wire : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  uint32_t number = 0;
  Wire wire = kVarint;
  uint64_t value = 0;   // of a varint
  ByteView bytes;       // of the others
  uint64_t offset = 0;  // of `bytes` in the file
};

// The fields of one message, which lies at `offset` in its file.
class ProtoReader {
 public:
  ProtoReader(ByteView message, uint64_t offset) : reader_(message, "protobuf"), base_(offset) {}
  explicit ProtoReader(const ProtoField& message) : ProtoReader(message.bytes, message.offset) {}

  // False at the end of the message. Throws ErrorKind::kData for what is no wire format (and for
  // groups, which proto3 does not have).
  bool next(ProtoField& field);

 private:
  ByteReader reader_;
  uint64_t base_;
};

}  // namespace pith::io
