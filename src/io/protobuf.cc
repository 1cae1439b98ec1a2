#include "pith/io/protobuf.h"

namespace pith::io {

bool ProtoReader::next(ProtoField& field) {
  if (reader_.empty()) return false;
  const uint64_t tag = reader_.varint();
  if (tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) reader_.bad("a field number is not possible");
  field = {};
  field.number = static_cast<uint32_t>(tag >> 3);
  field.wire = static_cast<ProtoField::Wire>(tag & 7);
  uint64_t size = 0;
  switch (field.wire) {
    case ProtoField::kVarint:
      field.value = reader_.varint();
      return true;
    case ProtoField::kFixed64:
      size = 8;
      break;
    case ProtoField::kFixed32:
      size = 4;
      break;
    case ProtoField::kBytes:
      size = reader_.varint();
      break;
    default:
      reader_.bad("a wire type is unknown");
  }
  field.offset = base_ + reader_.offset();
  field.bytes = reader_.bytes(size);
  return true;
}

}  // namespace pith::io
