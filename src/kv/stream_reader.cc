#include <fmt/core.h>

#include <algorithm>

#include "chunk_shape.h"
#include "pith/base/error.h"
#include "pith/base/parallel.h"
#include "stream_header.h"

namespace pith::kv {
namespace {

void check_profile(const StreamHeader& h, const Profile* profile) {
  if (h.profile == 0) return;
  if (!profile || profile->id != h.profile) {
    fail(ErrorKind::kUsage, "the keys and values are coded with the profile {:016x}, which is {}",
         h.profile, profile ? "another than the one that is given" : "not given");
  }
  profile->check(h.shape);
  bool fits = h.kept.size() == profile->spans.size();
  for (size_t s = 0; fits && s < h.kept.size(); ++s) fits = h.kept[s] <= profile->spans[s].count();
  if (!fits)
    fail(ErrorKind::kData, "a stream of keys and values has axes that its profile has not");
}

}  // namespace

struct StreamReader::State {
  explicit State(std::shared_ptr<const Profile> p) : profile(std::move(p)) {}

  ByteView rest() const { return ByteView(pending).subspan(used); }
  bool begin();
  void read_planes(int threads);
  void read_plane(const Plane& plane, ByteView bytes);
  uint64_t codes(const Plane& p) const {
    if (arrays.size() == 0) return 0;
    return p.span ? p.kept : width(p, arrays.head_size);
  }
  [[noreturn]] void bad(std::string_view why) const {
    fail(ErrorKind::kData, "a stream of keys and values: {}, at byte {}", why, before + used);
  }

  std::shared_ptr<const Profile> profile;
  Bytes pending;
  uint64_t used = 0, before = 0;  // of pending; of what was forgotten
  std::optional<StreamHeader> header;
  std::vector<Plane> planes;
  size_t next = 0;  // plane
  std::optional<Rotator> rotator;
  uint64_t layers = 0;
  Arrays arrays;
};

StreamReader::StreamReader(std::shared_ptr<const Profile> profile)
    : state_(std::make_unique<State>(std::move(profile))) {}
StreamReader::~StreamReader() = default;
StreamReader::StreamReader(StreamReader&&) noexcept = default;
StreamReader& StreamReader::operator=(StreamReader&&) noexcept = default;

// The header, if all of it is there.
bool StreamReader::State::begin() {
  const ByteView bytes = rest();
  if (bytes.empty()) return false;
  if (bytes[0] != kStream) bad("of no kind that there is");
  if (bytes.size() < kStartBytes) return false;
  const uint64_t size = load_le<uint32_t>(bytes.data() + 1);
  if (size > bytes.size() - kStartBytes) return false;
  const ByteView body = bytes.subspan(kStartBytes, size);
  if (check_of(body) != load_le<uint32_t>(bytes.data() + 5))
    bad("the check of its header does not hold");
  StreamHeader h = read_header(body);
  if (h.shape.size() > kMostStream) bad("too large");
  check_profile(h, profile.get());
  planes = planes_of(h.shape.heads, h.profile != 0 ? profile.get() : nullptr, h.kept);
  arrays = h.shape;
  arrays.keys.resize(arrays.size());
  arrays.values.resize(arrays.size());
  if (h.rotation && arrays.size() > 0)
    rotator.emplace(*h.rotation, arrays.head_size, arrays.first, arrays.tokens);
  header = std::move(h);
  used += kStartBytes + size;
  return true;
}

void StreamReader::State::read_plane(const Plane& plane, ByteView bytes) {
  const uint64_t size = arrays.head_size * arrays.tokens;
  float* to = (plane.values ? arrays.values : arrays.keys).data() + plane.first * size;
  const uint64_t n = codes(plane);
  static const std::vector<float> kNone;
  if (!plane.span) {
    if (n == 0) return;
    const PlaneReader reader(bytes, header->scheme, n, kNone);
    for (uint64_t h = 0; h < plane.heads; ++h) {
      reader.restore(h * arrays.head_size, arrays.head_size, to + h * size);
      if (!plane.values && rotator) rotator->redo(to + h * size);
    }
    return;
  }
  std::vector<float> coordinates;
  uint64_t axes = 0;
  if (n > 0) {
    const PlaneReader reader(bytes, header->scheme, n, plane.span->deviations);
    axes = reader.used();
    coordinates.resize(axes * arrays.tokens);
    if (axes > 0) reader.restore(0, axes, coordinates.data());
  }
  scatter(plane, coordinates.data(), axes, arrays);
  for (uint64_t h = 0; h < plane.heads && !plane.values && rotator; ++h)
    rotator->redo(to + h * size);
}

// All planes whose bytes are there, at once.
void StreamReader::State::read_planes(int threads) {
  struct Job {
    const Plane* plane;
    ByteView bytes;
  };
  std::vector<Job> jobs;
  for (; next < planes.size(); ++next) {
    ByteView bytes;
    if (codes(planes[next]) > 0) {
      if (rest().size() < kFrameBytes) break;
      const uint64_t size = load_le<uint32_t>(rest().data());
      if (size > rest().size() - kFrameBytes) break;
      bytes = rest().subspan(kFrameBytes, size);
      if (check_of(bytes) != load_le<uint32_t>(rest().data() + 4))
        bad("the check of a layer does not hold");
      used += kFrameBytes + size;
    }
    jobs.push_back({&planes[next], bytes});
  }
  parallel_for(threads, jobs.size(), [&](size_t i) { read_plane(*jobs[i].plane, jobs[i].bytes); });
  if (!jobs.empty()) layers = jobs.back().plane->layers_done;
  if (next < planes.size()) return;
  if (!std::ranges::all_of(rest(), [](uint8_t b) { return b == 0; })) bad("bytes are left over");
}

void StreamReader::add(ByteView bytes, int threads) {
  State& s = *state_;
  s.before += s.used;
  s.pending.erase(s.pending.begin(), s.pending.begin() + static_cast<ptrdiff_t>(s.used));
  s.used = 0;
  s.pending.insert(s.pending.end(), bytes.begin(), bytes.end());
  if (!s.header && !s.begin()) return;
  s.read_planes(threads);
}

bool stream_begins(ByteView bytes) {
  if (bytes.size() < kStartBytes || bytes[0] != kStream) return false;
  const uint64_t size = load_le<uint32_t>(bytes.data() + 1);
  if (size > bytes.size() - kStartBytes) return false;
  ByteReader from(bytes.subspan(kStartBytes), "a stream of keys and values");
  return read_shape(from).size() / kNumbersPerByte < bytes.size();
}

uint64_t StreamReader::layers() const { return state_->layers; }
bool StreamReader::complete() const {
  return state_->header && state_->next == state_->planes.size();
}
const Arrays& StreamReader::arrays() const { return state_->arrays; }

Arrays StreamReader::take() {
  if (!complete()) state_->bad("truncated");
  return std::move(state_->arrays);
}

}  // namespace pith::kv
