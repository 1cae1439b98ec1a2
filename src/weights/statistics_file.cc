// Statistics of calibration as an archive: a safetensors file with a few vectors for each weight.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>

#include "pith/archive/reader.h"
#include "pith/archive/writer.h"
#include "pith/base/error.h"
#include "pith/io/text.h"
#include "pith/io/write.h"
#include "pith/weights/calibration_statistics.h"

namespace pith::weights {
namespace {

constexpr std::string_view kFile = "calibration.safetensors";
constexpr std::string_view kVersion = "1";
constexpr std::string_view kEntropies = "entropies", kTokens = "tokens", kLookups = "lookups",
                           kAttention = "attention";

// What a tensor of the file is called behind its weight's name and a colon.
constexpr std::string_view kCount = "count", kSquares = "squares", kSizes = "sizes",
                           kMoments = "moments";
constexpr std::string_view kSides[] = {"inputs", "gradients"};

// Tensors in memory as a file; read from where they lie.
class StatisticsSource final : public archive::Source {
 public:
  StatisticsSource(const io::Metadata& metadata, std::span<const io::TensorInfo> tensors,
                   std::span<const ByteView> data)
      : header_(io::safetensors_header(tensors, metadata)) {
    layout_.format = "safetensors";
    layout_.metadata = metadata;
    add(header_);
    for (const size_t t : io::safetensors_order(tensors)) {
      layout_.tensors.push_back(
          {tensors[t].name, tensors[t].dtype, tensors[t].shape, size_, data[t].size(), false});
      add(data[t]);
    }
  }

  io::Layout layout() override { return layout_; }
  std::optional<uint64_t> size() const override { return size_; }
  Buffer get(uint64_t offset, uint64_t n) override {
    Bytes out(std::min(n, size_ - std::min(offset, size_)));
    auto piece = std::upper_bound(ends_.begin(), ends_.end(), offset) - ends_.begin();
    for (uint64_t done = 0; done < out.size(); ++piece) {
      const ByteView bytes = pieces_[static_cast<size_t>(piece)];
      const uint64_t begin = ends_[static_cast<size_t>(piece)] - bytes.size();
      const uint64_t skip = offset + done - begin;
      const uint64_t some = std::min<uint64_t>(bytes.size() - skip, out.size() - done);
      std::copy_n(bytes.data() + skip, some, out.data() + done);
      done += some;
    }
    return Buffer(std::move(out));
  }

 private:
  void add(ByteView bytes) {
    size_ += bytes.size();
    pieces_.push_back(bytes);
    ends_.push_back(size_);
  }

  Bytes header_;
  io::Layout layout_;
  uint64_t size_ = 0;
  std::vector<ByteView> pieces_;
  std::vector<uint64_t> ends_;  // of the pieces
};

template <class T>
ByteView bytes_of(std::span<const T> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

// The tensors of the file, which refer to the statistics.
class Tensors {
 public:
  void add(const std::string& at, const VectorStatistics& s) {
    put(at, kCount, DType::kU64, std::span<const uint64_t>(&s.count, 1));
    put(at, kSquares, DType::kF64, std::span<const double>(s.squares));
    put(at, kSizes, DType::kF64, std::span<const double>(s.sizes));
    if (!s.moments.empty()) put(at, kMoments, DType::kF32, std::span<const float>(s.moments));
  }
  template <class T>
  void put(const std::string& at, std::string_view what, DType type, std::span<const T> values) {
    infos.push_back({fmt::format("{}{}", at, what), type, {values.size()}});
    data.push_back(bytes_of(values));
  }

  std::vector<io::TensorInfo> infos;
  std::vector<ByteView> data;
};

std::string number_text(uint64_t n) { return std::to_string(n); }

// Reads what write_statistics() wrote, and believes none of it.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path)
      : where_(path.string()), archive_(archive::Archive::open(path)) {
    const auto& files = archive_.files();
    const auto found = std::ranges::find(files, kFile, &archive::FileInfo::path);
    if (found == files.end() || text("pith.calibration", *found) != kVersion) {
      fail(ErrorKind::kData, "{}: no statistics of calibration that this version reads", where_);
    }
    file_ = &*found;
  }

  CalibrationStatistics read() {
    CalibrationStatistics s;
    std::vector<double> attention;
    s.model = hash("model");
    s.text = hash("text");
    s.tokens = number("tokens");
    s.window = number("window");
    s.gradient_tokens = number("gradient_tokens");
    s.seed = number("seed");
    for (size_t t = file_->first_tensor; t < file_->first_tensor + file_->tensor_count; ++t) {
      const io::TensorRegion& region = archive_.tensors()[t].region;
      if (region.name == kEntropies) {
        s.entropies = values<double>(t, DType::kF64);
        continue;
      }
      if (region.name == kAttention) {
        attention = values<double>(t, DType::kF64);
        continue;
      }
      if (region.name == kTokens) {
        s.token_counts = values<uint64_t>(t, DType::kU64);
        continue;
      }
      const size_t side_at = region.name.rfind(':');
      const size_t what_at = region.name.find('.', side_at == std::string::npos ? 0 : side_at);
      if (side_at == std::string::npos || what_at == std::string::npos) bad(region.name);
      const std::string name = region.name.substr(0, side_at);
      const std::string side = region.name.substr(side_at + 1, what_at - side_at - 1);
      const auto which = std::ranges::find(kSides, side) - std::begin(kSides);
      if (which == std::ssize(kSides)) bad(region.name);
      auto& there = parts_[name][static_cast<size_t>(which)];
      if (!there) there = std::make_shared<VectorStatistics>();
      read_part(t, region.name.substr(what_at + 1), *there);
    }
    for (auto& [name, sides] : parts_) {
      for (const auto& side : sides) {
        if (side) check(name, *side);
      }
      if (name == kLookups) {
        s.lookups = sides[1];
      } else {
        s.tensors[name] = {sides[0], sides[1]};
      }
    }
    take_attention(attention, s);
    return s;
  }

 private:
  [[noreturn]] void bad(std::string_view tensor) const {
    fail(ErrorKind::kData, "{}: {} is nothing that calibration keeps", where_,
         io::in_quotes(tensor));
  }

  // Four numbers of each head of each layer, as HeadAttention has them.
  void take_attention(std::span<const double> numbers, CalibrationStatistics& s) const {
    if (numbers.empty()) return;
    const uint64_t layers = s.entropies.empty() ? 0 : s.entropies.size() - 1;
    const auto good = [](double v) { return std::isfinite(v) && v >= 0; };
    if (layers == 0 || numbers.size() % (4 * layers) != 0 || !std::ranges::all_of(numbers, good)) {
      bad(kAttention);
    }
    const size_t heads = numbers.size() / (4 * layers);
    s.attention.assign(layers, std::vector<model::HeadAttention>(heads));
    const double* at = numbers.data();
    for (auto& layer : s.attention) {
      for (model::HeadAttention& h : layer) {
        h = {at[0], at[1], at[2], at[3]};
        at += 4;
      }
      // Heads that only other layers have: any sees itself.
      std::erase_if(layer, [](const model::HeadAttention& h) { return h.recent == 0; });
    }
  }

  std::string_view text(std::string_view key, const archive::FileInfo& file) const {
    for (const auto& [name, value] : file.metadata) {
      if (name == key) return value;
    }
    return {};
  }

  uint64_t number(std::string_view key) const {
    const std::string_view digits = text(key, *file_);
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), value);
    if (error != std::errc() || end != digits.end()) {
      fail(ErrorKind::kData, "{}: \"{}\" is {}, which is no number", where_, key,
           io::in_quotes(digits));
    }
    return value;
  }

  Hash128 hash(std::string_view key) const {
    const std::string_view digits = text(key, *file_);
    Hash128 h;
    bool right = digits.size() == 2 * h.bytes.size();
    for (size_t i = 0; i < h.bytes.size() && right; ++i) {
      const char* at = digits.data() + 2 * i;
      const auto [end, error] = std::from_chars(at, at + 2, h.bytes[i], 16);
      right = error == std::errc() && end == at + 2;
    }
    if (!right) {
      fail(ErrorKind::kData, "{}: \"{}\" is {}, which is no hash", where_, key,
           io::in_quotes(digits));
    }
    return h;
  }

  template <class T>
  std::vector<T> values(size_t tensor, DType type) const {
    const io::TensorRegion& region = archive_.tensors()[tensor].region;
    if (region.dtype != type || region.shape.size() != 1 || region.big_endian) bad(region.name);
    const Bytes bytes = archive_.read_tensor(tensor);
    std::vector<T> out(bytes.size() / sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
    return out;
  }

  void read_part(size_t tensor, std::string_view what, VectorStatistics& s) const {
    if (what == kCount) {
      const std::vector<uint64_t> count = values<uint64_t>(tensor, DType::kU64);
      if (count.size() != 1) bad(archive_.tensors()[tensor].region.name);
      s.count = count[0];
    } else if (what == kSquares) {
      s.squares = values<double>(tensor, DType::kF64);
    } else if (what == kSizes) {
      s.sizes = values<double>(tensor, DType::kF64);
    } else if (what == kMoments) {
      s.moments = values<float>(tensor, DType::kF32);
    } else {
      bad(archive_.tensors()[tensor].region.name);
    }
  }

  void check(std::string_view name, const VectorStatistics& s) const {
    const uint64_t n = s.size();
    const auto size = [](double v) { return std::isfinite(v) && v >= 0; };
    const auto finite = [](float v) { return std::isfinite(v); };
    const bool fits = n > 0 && n <= UINT32_MAX && s.sizes.size() == n &&
                      (s.moments.empty() || s.moments.size() == n * (n + 1) / 2);
    if (!fits || !std::ranges::all_of(s.squares, size) || !std::ranges::all_of(s.sizes, size) ||
        !std::ranges::all_of(s.moments, finite)) {
      fail(ErrorKind::kData, "{}: the statistics of {} are none", where_, io::in_quotes(name));
    }
  }

  std::string where_;
  archive::Archive archive_;
  const archive::FileInfo* file_ = nullptr;
  std::map<std::string, std::array<std::shared_ptr<VectorStatistics>, 2>> parts_;
};

}  // namespace

void write_statistics(const CalibrationStatistics& s, const std::filesystem::path& path,
                      bool overwrite) {
  const io::Metadata metadata = {{"pith.calibration", std::string(kVersion)},
                                 {"model", s.model.hex()},
                                 {"text", s.text.hex()},
                                 {"tokens", number_text(s.tokens)},
                                 {"window", number_text(s.window)},
                                 {"gradient_tokens", number_text(s.gradient_tokens)},
                                 {"seed", number_text(s.seed)}};
  Tensors tensors;
  for (const auto& [name, t] : s.tensors) {
    if (t.inputs) tensors.add(fmt::format("{}:{}.", name, kSides[0]), *t.inputs);
    if (t.gradients) tensors.add(fmt::format("{}:{}.", name, kSides[1]), *t.gradients);
  }
  if (s.lookups) tensors.add(fmt::format("{}:{}.", kLookups, kSides[1]), *s.lookups);
  tensors.put("", kTokens, DType::kU64, std::span<const uint64_t>(s.token_counts));
  tensors.put("", kEntropies, DType::kF64, std::span<const double>(s.entropies));
  // As many heads of each layer as the one has that has most, zeros for those that are missing.
  std::vector<double> attention;
  size_t most = 0;
  for (const auto& layer : s.attention) most = std::max(most, layer.size());
  for (const auto& layer : s.attention) {
    for (const model::HeadAttention& h : layer) {
      attention.insert(attention.end(), {h.entropy, h.first, h.recent, h.distance});
    }
    attention.resize(attention.size() + 4 * (most - layer.size()));
  }
  tensors.put("", kAttention, DType::kF64, std::span<const double>(attention));
  const archive::Input input = {std::string(kFile), std::make_shared<StatisticsSource>(
                                                        metadata, tensors.infos, tensors.data)};
  archive::WriteOptions options;
  options.overwrite = overwrite;
  archive::write_archive({&input, 1}, path, options);
}

CalibrationStatistics read_statistics(const std::filesystem::path& path) {
  return Reader(path).read();
}

}  // namespace pith::weights
