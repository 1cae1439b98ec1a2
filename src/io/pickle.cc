#include "pickle.h"

#include <charconv>
#include <unordered_map>

#include "pith/io/text.h"

// Instruction set: Python's Lib/pickletools.py.
namespace pith::io {
namespace {

using Kind = PickleNode::Kind;

constexpr uint64_t kMaxBytes = 64 << 20;
constexpr size_t kMaxNodes = 4'000'000;  // also of stack and memo entries

class Machine {
 public:
  explicit Machine(ByteView bytes) : bytes_(bytes), in_(bytes, "pickle") { make(Kind::kOther); }

  Pickle run() {
    for (uint8_t op = in_.u8(); op != '.'; op = in_.u8()) step(op);
    pickle_.root = pop();
    return std::move(pickle_);
  }

 private:
  // The instructions by what they do; each group returns false for one that is not its own.
  void step(uint8_t op) {
    if (!constant(op) && !integer(op) && !text(op) && !container(op) && !object(op) && !memo(op)) {
      in_.bad(fmt::format("instruction 0x{:02x} is not understood", op));
    }
  }

  bool constant(uint8_t op) {
    switch (op) {
      case 0x80:
        in_.bytes(1);
        return true;  // PROTO
      case 0x95:
        in_.bytes(8);
        return true;  // FRAME
      case 'N':
        push(kNone);
        return true;
      case 'F':
        line();
        push(kNone);
        return true;  // FLOAT
      case 'G':
        in_.bytes(8);
        push(kNone);
        return true;
      case '(':
        marks_.push_back(stack_.size());
        return limit(marks_.size());
      case '0':
        marks_.empty() || marks_.back() < stack_.size() ? void(pop()) : marks_.pop_back();
        return true;
      case '1':
        pop_mark();
        return true;
      case '2':
        push(top());
        return true;
      default:
        return false;
    }
  }

  bool integer(uint8_t op) {
    switch (op) {
      case 0x88:
      case 0x89:
        push_number(op == 0x88);
        return true;
      case 'J':
        push_number(static_cast<int32_t>(in_.u32()));
        return true;
      case 'K':
        push_number(in_.u8());
        return true;
      case 'M':
        push_number(in_.u16());
        return true;
      case 'I':
      case 'L':
        push_number(decimal(line()));
        return true;
      case 0x8a:
        push_long(in_.bytes(in_.u8()));
        return true;
      case 0x8b:
        push_long(in_.bytes(in_.u32()));
        return true;
      default:
        return false;
    }
  }

  bool text(uint8_t op) {
    switch (op) {
      case 'S':
      case 'V':
        push_text(line());
        return true;
      case 'T':
      case 'X':
        push_text(as_text(in_.bytes(in_.u32())));
        return true;
      case 'U':
      case 0x8c:
        push_text(as_text(in_.bytes(in_.u8())));
        return true;
      case 0x8d:
        push_text(as_text(in_.bytes(in_.u64())));
        return true;
      case 'C':
        in_.bytes(in_.u8());
        push(kNone);
        return true;  // bytes
      case 'B':
        in_.bytes(in_.u32());
        push(kNone);
        return true;
      case 0x8e:
      case 0x96:
        in_.bytes(in_.u64());
        push(kNone);
        return true;
      default:
        return false;
    }
  }

  bool container(uint8_t op) {
    switch (op) {
      case ')':
      case ']':
      case 0x8f:
        push(make(Kind::kSequence));
        return true;
      case '}':
        push(make(Kind::kDict));
        return true;
      case 't':
      case 'l':
      case 0x91:
        push_sequence(pop_mark());
        return true;
      case 0x85:
      case 0x86:
      case 0x87:
        push_sequence(pop_many(op - 0x84u));
        return true;
      case 'd': {
        const auto items = pop_mark();
        push(make(Kind::kDict));
        set_items(items);
        return true;
      }
      case 'a':
        append(pop_many(1));
        return true;
      case 'e':
      case 0x90:
        append(pop_mark());
        return true;
      case 's':
        set_items(pop_many(2));
        return true;
      case 'u':
        set_items(pop_mark());
        return true;
      default:
        return false;
    }
  }

  bool object(uint8_t op) {
    switch (op) {
      case 'c': {
        const std::string module(line());
        push_global(module, line());
        return true;
      }
      case 0x93: {
        const auto names = pop_many(2);
        push_global(node(names[0]).text, std::string(node(names[1]).text));
        return true;
      }
      case 'R':
      case 0x81:
        call(pop_many(2));
        return true;
      case 0x92:
        call(pop_many(3));
        return true;
      case 'b': {
        const PickleRef state = pop();
        node(top()).items.push_back(state);
        return true;
      }
      case 'P': {
        push_text(line());
        push_node(Kind::kPersistent, pop_many(1));
        return true;
      }
      case 'Q':
        push_node(Kind::kPersistent, pop_many(1));
        return true;
      default:
        return false;
    }
  }

  bool memo(uint8_t op) {
    switch (op) {
      case 'p':
        put(static_cast<uint64_t>(decimal(line())));
        return true;
      case 'q':
        put(in_.u8());
        return true;
      case 'r':
        put(in_.u32());
        return true;
      case 0x94:
        put(memo_.size());
        return true;
      case 'g':
        get(static_cast<uint64_t>(decimal(line())));
        return true;
      case 'h':
        get(in_.u8());
        return true;
      case 'j':
        get(in_.u32());
        return true;
      default:
        return false;
    }
  }

  bool limit(size_t count) const {
    if (count > kMaxNodes) fail(ErrorKind::kLimit, "pickle: it builds too many objects");
    return true;
  }
  PickleRef make(Kind kind) {
    limit(pickle_.nodes.size());
    pickle_.nodes.emplace_back().kind = kind;
    return static_cast<PickleRef>(pickle_.nodes.size() - 1);
  }
  PickleNode& node(PickleRef ref) { return pickle_.nodes[ref]; }

  void push(PickleRef ref) {
    limit(stack_.size());
    stack_.push_back(ref);
  }
  void push_number(int64_t value) {
    push(make(Kind::kInteger));
    node(top()).number = value;
  }
  // Little-endian two's complement of any length.
  void push_long(ByteView bytes) {
    if (bytes.size() > 8) return push(kNone);
    uint64_t value = !bytes.empty() && bytes.back() >= 0x80 ? ~uint64_t{0} : 0;
    for (size_t k = bytes.size(); k-- > 0;) value = value << 8 | bytes[k];
    push_number(static_cast<int64_t>(value));
  }
  void push_text(std::string_view value) {
    push(make(Kind::kText));
    node(top()).text = value;
  }
  void push_global(std::string module, std::string_view name) {
    push(make(Kind::kGlobal));
    node(top()).text = module.append(1, '.').append(name);
  }
  void push_node(Kind kind, std::vector<PickleRef> items) {
    push(make(kind));
    node(top()).items = std::move(items);
  }
  void push_sequence(std::vector<PickleRef> items) { push_node(Kind::kSequence, std::move(items)); }

  // The lowest position that the instructions may touch: what lies below a mark belongs to it.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleRef top() const {
    if (stack_.size() <= floor()) in_.bad("the stack is empty");
    return stack_.back();
  }
  PickleRef pop() {
    const PickleRef ref = top();
    stack_.pop_back();
    return ref;
  }
  std::vector<PickleRef> pop_many(size_t n) {
    if (stack_.size() - floor() < n) in_.bad("the stack is empty");
    std::vector<PickleRef> items(stack_.end() - static_cast<ptrdiff_t>(n), stack_.end());
    stack_.resize(stack_.size() - n);
    return items;
  }
  std::vector<PickleRef> pop_mark() {
    if (marks_.empty()) in_.bad("a mark is missing");
    auto items = pop_many(stack_.size() - floor());
    marks_.pop_back();
    return items;
  }

  void append(const std::vector<PickleRef>& items) {
    auto& list = node(top()).items;
    list.insert(list.end(), items.begin(), items.end());
  }
  void set_items(const std::vector<PickleRef>& items) {
    if (items.size() % 2 != 0) in_.bad("a key has no value");
    auto& entries = node(top()).entries;
    for (size_t k = 0; k < items.size(); k += 2) entries.emplace_back(items[k], items[k + 1]);
  }
  void call(std::vector<PickleRef> function_and_arguments) {
    const bool dict = node(function_and_arguments[0]).text == "collections.OrderedDict";
    push_node(dict ? Kind::kDict : Kind::kCall, std::move(function_and_arguments));
  }

  void put(uint64_t index) {
    limit(memo_.size());
    memo_[index] = top();
  }
  void get(uint64_t index) {
    const auto at = memo_.find(index);
    if (at == memo_.end()) in_.bad("nothing was remembered under this number");
    push(at->second);
  }

  std::string_view line() {
    const uint64_t begin = in_.offset();
    while (in_.u8() != '\n') {
    }
    return as_text(bytes_).substr(begin, in_.offset() - begin - 1);
  }
  int64_t decimal(std::string_view digits) const {
    if (digits.ends_with('L')) digits.remove_suffix(1);
    int64_t value = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc() || stop != end) in_.bad("a number is malformed");
    return value;
  }

  static constexpr PickleRef kNone = 0;
  ByteView bytes_;
  ByteReader in_;
  Pickle pickle_;
  std::vector<PickleRef> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, PickleRef> memo_;
};

}  // namespace

Pickle read_pickle(ByteView bytes) {
  if (bytes.size() > kMaxBytes) fail(ErrorKind::kLimit, "pickle: larger than {} bytes", kMaxBytes);
  return Machine(bytes).run();
}

}  // namespace pith::io
