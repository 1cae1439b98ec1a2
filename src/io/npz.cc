// Zip archives: which of them are PyTorch checkpoints, and NumPy's npz.
#include <algorithm>

#include "layout_builder.h"
#include "npy.h"
#include "pith/io/text.h"
#include "pytorch.h"
#include "readers.h"
#include "zip.h"

namespace pith::io {
namespace {

constexpr std::string_view kSuffix = ".npy";

bool is_array(const ZipMember& member) { return member.name.ends_with(kSuffix); }

// One damaged member does not keep the others from being tensors.
void add_member(LayoutBuilder& layout, const ZipMember& member) {
  std::string name = member.name.substr(0, member.name.size() - kSuffix.size());
  try {
    add_npy(layout, member.content, member.offset, std::move(name));
  } catch (const Error& error) {
    layout.note(fmt::format("{}; it stays plain bytes", error.what()), member.name);
  }
}

Description read_npz(ByteView file, const std::vector<ZipMember>& members) {
  LayoutBuilder layout("npz", file.size(), LayoutBuilder::Broken::kLeave);
  for (const ZipMember& member : members) {
    if (!is_array(member)) continue;
    if (member.stored()) {
      add_member(layout, member);
    } else {
      layout.note("already compressed within the archive; it stays plain bytes", member.name);
    }
  }
  return {layout.finish(), {}, {}};
}

}  // namespace

bool looks_like_zip(ByteView file, const std::filesystem::path&) {
  return file.size() >= 4 && as_text(file.first(4)) == "PK\x03\x04";
}

Description read_zip(ByteView file, const std::filesystem::path&) {
  const std::vector<ZipMember> members = zip_members(file);
  if (is_pytorch(members)) return read_pytorch(file, members);
  if (std::ranges::any_of(members, is_array)) return read_npz(file, members);
  return {};
}

}  // namespace pith::io
