// Where chunks of keys and values are kept: a folder, an archive, or a Redis server.
//
//   const auto store = open_store("redis://:secret@localhost:6379/0?ttl=3600");
//   store->put(id, write_chunk(…));
//   if (const auto bytes = store->get(id)) arrays = read_arrays(*bytes, id);
//
// A store gives back bytes and promises nothing about them: read_arrays() checks. All methods
// throw ErrorKind::kIo where the store cannot be reached, is full or refuses, naming it. A store is
// used by one thread at a time, but for interrupt().
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/base/bytes.h"
#include "pith/base/hash.h"

namespace pith::kv {

struct StoredChunk {
  Hash128 id;
  uint64_t bytes = 0;
};

class Store {
 public:
  // What has come of a chunk so far, from its first byte on, each time that there is more of it.
  using Arrived = std::function<void(ByteView so_far)>;

  virtual ~Store() = default;
  // For messages; without a password.
  virtual std::string name() const = 0;
  // Connects, where there is something to connect to; of a folder, whether it can be written.
  virtual void reach() { sizes({}); }
  // Bytes of each chunk, nothing for those that are not there; asked for at once.
  virtual std::vector<std::optional<uint64_t>> sizes(std::span<const Hash128> ids) = 0;
  virtual std::optional<Bytes> get(const Hash128& id, const Arrived& arrived = {}) = 0;
  // Another chunk of this id is replaced. What is put may be there for others only after flush().
  virtual void put(const Hash128& id, ByteView chunk) = 0;
  virtual void flush() {}
  // In the order of ids.
  virtual std::vector<StoredChunk> list() = 0;
  // From another thread: get() that is under way, and those that follow, fail soon; until the next
  // call of another method.
  virtual void interrupt() {}
};

// `where` is
//   redis://[[user]:password@]host[:port][/db][?ttl=SECONDS][&timeout=SECONDS]
//   NAME.pith       an archive, which flush() writes anew
//   anything else   a folder with a file for each chunk
// Folders and archives that are not there are made when something is put. Several processes may
// write to one. Nobody is connected to before the first call, which may be reach(); what is wrong
// with an archive that is damaged it says, too, and leaves it as it is. Throws ErrorKind::kUsage
// for a URL that cannot be and an archive of other things, kData for a file that is no archive.
std::unique_ptr<Store> open_store(std::string_view where);

}  // namespace pith::kv
