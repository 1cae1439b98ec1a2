#include <algorithm>

#include "eval.h"
#include "harm_report.h"
#include "message.h"
#include "pith/io/text.h"
#include "table.h"
#include "units.h"

namespace pith::command {
namespace {

using audit::Measured;

constexpr uint64_t kTokensBefore = 12;  // of a token that changed, shown for its context

Json number(double value) { return value; }
Json number(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json measured_json(const Measured& m) {
  Json j = {{"mean", m.mean},
            {"window_error", number(m.window_error)},
            {"token_error", number(m.token_error)}};
  j["interval"] = m.interval ? Json{m.interval->low, m.interval->high} : Json();
  return j;
}

Json loss_json(const std::string& path, const audit::Loss& loss) {
  return {{"model", path},
          {"loss", measured_json(loss.loss)},
          {"perplexity", loss.perplexity()},
          {"perplexity_error", number(loss.perplexity_error())}};
}

// The text that stands before a token.
std::string before(const Measurements& m, uint64_t index) {
  const uint64_t begin = index > kTokensBefore ? index - kTokensBefore : 0;
  const auto ids = std::span(m.ids).subspan(begin, index - begin);
  return io::utf8(m.tokenizer.decode(ids, {.continues = true}));
}

std::string token_text(const Measurements& m, int32_t id) {
  if (id < 0 || id >= m.tokenizer.size()) return fmt::format("<{}>", id);
  return io::utf8(m.tokenizer.kind(id) == model::PieceKind::kControl ? m.tokenizer.piece(id)
                                                                     : m.tokenizer.text(id));
}

Json changed_json(const Measurements& m) {
  Json list = Json::array();
  for (const audit::ChangedToken& c : m.evaluation.divergence->changed) {
    list.push_back({{"index", c.index},
                    {"before", before(m, c.index)},
                    {"token", token_text(m, c.token)},
                    {"kl", c.divergence},
                    {"reference_probability", c.reference_probability},
                    {"probability", c.probability},
                    {"reference_best", token_text(m, c.reference_best)},
                    {"best", token_text(m, c.best)}});
  }
  return list;
}

std::string percent(double share) { return fmt::format("{:.3f}%", 100 * share); }

std::string error_text(const std::optional<double>& error, const char* format) {
  return error ? fmt::format(fmt::runtime(format), *error) : "-";
}

std::string interval_text(const std::optional<audit::Interval>& i, const char* format) {
  return i ? fmt::format("{} … {}", fmt::format(fmt::runtime(format), i->low),
                         fmt::format(fmt::runtime(format), i->high))
           : "-";
}

std::string protocol(const audit::Evaluation& e) {
  std::string s = fmt::format("{} of {} predictions, {}", count_text(e.windows, "window"),
                              e.context, e.bos ? "bos in front of each" : "without bos");
  if (e.stride < e.context) s += fmt::format(", {} tokens apart", e.stride);
  s += e.skip_first > 0 ? fmt::format(", the first {} of each not counted", e.skip_first)
                        : ", all counted";
  return s + fmt::format(": {} of the text's {}", count_text(e.scored, "token"), e.tokens);
}

void loss_row(Table& table, const std::string& name, const audit::Loss& loss) {
  table.row(
      {name, fmt::format("{:.5f}", loss.loss.mean), error_text(loss.loss.window_error, "{:.5f}"),
       error_text(loss.loss.token_error, "{:.5f}"), interval_text(loss.loss.interval, "{:.4f}"),
       fmt::format("{:.4f}", loss.perplexity()), error_text(loss.perplexity_error(), "{:.4f}")});
}

std::string divergence_text(const audit::Divergence& d) {
  Table means({"", ">mean", ">± windows", ">± tokens", ">95%"});
  const auto row = [&](const char* name, const Measured& m, double unit, const char* format) {
    const auto scaled = [&](std::optional<double> v) {
      if (v) *v *= unit;
      return v;
    };
    std::optional<audit::Interval> interval = m.interval;
    if (interval) *interval = {interval->low * unit, interval->high * unit};
    means.row({name, fmt::format(fmt::runtime(format), m.mean * unit),
               error_text(scaled(m.window_error), format),
               error_text(scaled(m.token_error), format), interval_text(interval, format)});
  };
  row("KL divergence, nats", d.kl, 1, "{:.6f}");
  row("same most probable token, %", d.same_best, 100, "{:.3f}");
  row("loss minus the reference's", d.loss_difference, 1, "{:.6f}");
  Table spread({">median", ">90%", ">99%", ">99.9%", ">largest"});
  std::vector<std::string> cells;
  for (const double value : {d.median, d.p90, d.p99, d.p999, d.max}) {
    cells.push_back(fmt::format("{:.6f}", value));
  }
  spread.row(cells);
  return means.text() + "\nKL divergence of single tokens\n" + spread.text() +
         fmt::format(
             "\nprobability of the text's token: changed by {} on average, {} absolute, {} "
             "root mean square\n",
             percent(d.mean_change), percent(d.mean_absolute_change),
             percent(d.root_mean_square_change));
}

std::string changed_text(const Measurements& m) {
  Table table({">KL", "text", "token", ">reference", ">model", "reference says", "model says"});
  for (const audit::ChangedToken& c : m.evaluation.divergence->changed) {
    std::string text = before(m, c.index);
    if (text.size() > 36) {  // the end, from a character's beginning
      size_t at = text.size() - 36;
      while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
      text.erase(0, at);
    }
    table.row({fmt::format("{:.4f}", c.divergence), printable(text),
               io::in_quotes(token_text(m, c.token)), percent(c.reference_probability),
               percent(c.probability), io::in_quotes(token_text(m, c.reference_best)),
               io::in_quotes(token_text(m, c.best))});
  }
  return table.empty() ? "" : fmt::format("\nTokens that changed most\n{}", table.text());
}

// What it was compared with: without another model the same one with a full cache.
const std::string& beside(const EvalArguments& a) {
  return a.against.empty() ? a.model : a.against;
}

}  // namespace

Json eval_json(const EvalArguments& a, const Measurements& m) {
  const audit::Evaluation& e = m.evaluation;
  Json j = loss_json(a.model, e.model);
  j["text"] = a.text;
  if (!a.kv.empty()) j["kv"] = a.kv;
  j["protocol"] = {{"context", e.context},       {"stride", e.stride},
                   {"skip_first", e.skip_first}, {"bos", e.bos},
                   {"windows", e.windows},       {"text_tokens", e.tokens},
                   {"scored_tokens", e.scored}};
  j["seconds"] = number(m.seconds);
  if (m.cache_bits) j["cache_bits"] = *m.cache_bits;
  if (!e.divergence) return j;
  const audit::Divergence& d = *e.divergence;
  j["reference"] = loss_json(beside(a), *e.reference);
  j["divergence"] = {{"kl", measured_json(d.kl)},
                     {"kl_median", d.median},
                     {"kl_90", d.p90},
                     {"kl_99", d.p99},
                     {"kl_99_9", d.p999},
                     {"kl_max", d.max},
                     {"same_best", measured_json(d.same_best)},
                     {"loss_difference", measured_json(d.loss_difference)},
                     {"probability_change", d.mean_change},
                     {"probability_change_absolute", d.mean_absolute_change},
                     {"probability_change_rms", d.root_mean_square_change},
                     {"changed", changed_json(m)}};
  if (m.harm) j["harm"] = harm_json(*m.harm, {});
  return j;
}

std::string eval_text(const EvalArguments& a, const Measurements& m) {
  const audit::Evaluation& e = m.evaluation;
  std::string text = fmt::format("{}: {}\n\n", printable(a.text), protocol(e));
  Table losses({"", ">loss", ">± windows", ">± tokens", ">95%", ">perplexity", ">±"});
  loss_row(losses, printable(a.kv.empty() ? a.model : a.model + " --kv " + a.kv), e.model);
  if (e.reference) loss_row(losses, printable(beside(a)), *e.reference);
  text += losses.text();
  if (m.cache_bits) {
    text += fmt::format(
        "\nThe cache held {:.2f} bits for each number read: {:.2f} times fewer bytes than in 16 "
        "bits\n",
        *m.cache_bits, 16 / *m.cache_bits);
  }
  if (e.divergence) {
    text += fmt::format("\n{}{}", divergence_text(*e.divergence), changed_text(m));
    if (m.harm) text += fmt::format("\nWhom it hurt\n{}", harm_text(*m.harm, {}));
  }
  return text;
}

}  // namespace pith::command
