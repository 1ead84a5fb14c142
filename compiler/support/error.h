// The compiler's two exceptions: the user's fault and ours.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace moru {

/// The user's fault: a model, file or option that cannot be compiled. what() is the whole message:
///   layer 'lstm_2' (LSTM): needs a sequence [batch, time, features] but got [batch, 64]
///     the input is the output of 'lstm_1', which returns only its last step
///     hint: set return_sequences=true on 'lstm_1'
class CompileError : public std::runtime_error {
 public:
  struct Parts {
    std::string stage = {};   // "infer_shapes", "import"; for tools, not printed
    std::string node = {};    // as the user named it; may be empty
    std::string op = {};      // layer class or op name; may be empty
    std::string what = {};    // one sentence, without the name of the node
    std::string detail = {};  // where the shapes came from; may be empty, may have several lines
    std::string hint = {};    // what to do; may be empty
    /// Two dimensions, as Dim::text() has them, that would have to be equal; for who may choose an input's sizes, not printed.
    std::optional<std::pair<std::string, std::string>> unequal = {};
  };
  explicit CompileError(Parts parts);
  const Parts& parts() const { return parts_; }

 private:
  Parts parts_;
};

/// Our fault: an invariant that no input should be able to break.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Throws InternalError with `what` unless `condition`.
void check_internal(bool condition, const char* what);

}  // namespace moru
