// What a Python pickle would build, without building it.
//
// A pickle is a program for a stack machine that may import and call anything. This one has no
// imports and no calls: a call becomes a node that names the function and its arguments, which is
// all that finding tensors needs. Objects are nodes in one array and refer to each other by number,
// so that cycles and shared parts cost nothing.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pith/base/bytes.h"

namespace pith::io {

using PickleRef = uint32_t;

struct PickleNode {
  enum class Kind : uint8_t {
    kOther,       // None, floats, integers over 64 bits, bytes, sets: nothing that a layout needs
    kInteger,     // number (truth values too)
    kText,        // text
    kGlobal,      // text: "module.name"
    kSequence,    // items: a tuple or list
    kDict,        // entries
    kCall,        // items: function, arguments, then any state; entries: what was set on the result
    kPersistent,  // items: the id
  };
  Kind kind = Kind::kOther;
  int64_t number = 0;
  std::string text;
  std::vector<PickleRef> items;
  std::vector<std::pair<PickleRef, PickleRef>> entries;
};

struct Pickle {
  std::vector<PickleNode> nodes;
  PickleRef root = 0;

  const PickleNode& operator[](PickleRef ref) const { return nodes[ref]; }
};

// Runs to the STOP instruction; what follows it is ignored, as Python does. Throws
// ErrorKind::kData for a malformed pickle and for instructions that torch.save never writes, and
// ErrorKind::kLimit for one that is larger than any checkpoint's.
Pickle read_pickle(ByteView bytes);

}  // namespace pith::io
