#include "pytorch.h"

#include <algorithm>

#include "layout_builder.h"
#include "pith/io/text.h"
#include "readers.h"
#include "torch_tensors.h"

namespace pith::io {
namespace {

constexpr std::string_view kPickle = "data.pkl";

// The start of the magic number with which torch.save began before PyTorch 1.6, pickled.
constexpr std::string_view kOldMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
                                     14);

bool is_main_pickle(const ZipMember& member) {
  return member.name == kPickle || member.name.ends_with("/data.pkl");
}

const ZipMember* find(const std::vector<ZipMember>& members, std::string_view name) {
  const auto at = std::ranges::find(members, name, &ZipMember::name);
  return at != members.end() ? &*at : nullptr;
}

// A pickle that cannot be read only costs names and types.
TorchStorages storages_of(LayoutBuilder& layout, const ZipMember& pickle) {
  try {
    if (!pickle.stored()) fail(ErrorKind::kData, "it is compressed");
    return torch_storages(read_pickle(pickle.content));
  } catch (const Error& error) {
    layout.note(
        fmt::format("storages have no names or types, because the pickle cannot be read: {}",
                    error.what()),
        pickle.name);
    return {};
  }
}

TensorRegion plain_region(const ZipMember& member, std::string name) {
  return {std::move(name), DType::kBytes, {member.content.size()}, member.offset, 0, false};
}

// The region of a storage: under the name of the tensor that is the whole of it, else under its own
// with one dimension.
TensorRegion region_of(const ZipMember& member, std::string own_name, const TorchStorage& storage) {
  TensorRegion region = plain_region(member, std::move(own_name));
  if (!storage.typed) return region;
  const uint64_t width = info(storage.dtype).block_bytes;
  if (storage.whole && tensor_bytes(storage.dtype, storage.shape) == member.content.size()) {
    region.dtype = storage.dtype;
    region.shape = storage.shape;
    if (!storage.name.empty()) region.name = storage.name;
  } else if (info(storage.dtype).block_elements == 1 && member.content.size() % width == 0) {
    region.dtype = storage.dtype;
    region.shape = {member.content.size() / width};
  }
  return region;
}

// Adds the storages of one pickle: those in the folder of the same name.
void add_storages(LayoutBuilder& layout, const std::vector<ZipMember>& members,
                  const ZipMember& pickle, bool big_endian) {
  const std::string folder = pickle.name.substr(0, pickle.name.size() - 4) + "/";
  const size_t own_name = folder.rfind('/', folder.size() - 2) + 1;  // 0 where there is no prefix
  const TorchStorages storages = storages_of(layout, pickle);
  for (const ZipMember& member : members) {
    if (!member.name.starts_with(folder) || member.name.size() == folder.size()) continue;
    if (!member.stored()) {
      layout.note("compressed within the archive; it stays plain bytes", member.name);
      continue;
    }
    const auto known = storages.find(std::string_view(member.name).substr(folder.size()));
    std::string name = member.name.substr(own_name);
    TensorRegion region = known == storages.end()
                              ? plain_region(member, std::move(name))
                              : region_of(member, std::move(name), known->second);
    region.big_endian = big_endian && info(region.dtype).block_bytes > 1;
    layout.add(std::move(region));
  }
}

}  // namespace

bool is_pytorch(const std::vector<ZipMember>& members) {
  return std::ranges::any_of(members, is_main_pickle);
}

Description read_pytorch(ByteView file, const std::vector<ZipMember>& members) {
  LayoutBuilder layout("pytorch", file.size(), LayoutBuilder::Broken::kLeave);
  const ZipMember& main = *std::ranges::find_if(members, is_main_pickle);
  const std::string prefix = main.name.substr(0, main.name.size() - kPickle.size());
  const ZipMember* order = find(members, prefix + "byteorder");
  const bool big_endian = order && order->stored() && as_text(order->content) == "big";
  add_storages(layout, members, main, big_endian);
  // TorchScript keeps the constants of its code apart.
  const ZipMember* constants = find(members, prefix + "constants.pkl");
  if (constants) add_storages(layout, members, *constants, big_endian);
  return {layout.finish(), {}, {}};
}

bool looks_like_old_pytorch(ByteView file, const std::filesystem::path&) {
  return as_text(file.first(std::min(file.size(), kOldMagic.size()))) == kOldMagic;
}

Description read_old_pytorch(ByteView, const std::filesystem::path&) {
  Description plain;
  plain.layout.notes.emplace_back(
      "a PyTorch checkpoint from before version 1.6: it has no directory of its storages; "
      "save it again with a newer PyTorch to have its tensors found");
  return plain;
}

}  // namespace pith::io
