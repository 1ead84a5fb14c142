// The einsum notation of the op `contract`.
#pragma once

#include <string>
#include <string_view>

namespace moru {

/// "ab,bc->ac": one letter per axis.
struct ContractSpec {
  std::string a;
  std::string b;
  std::string result;

  bool in_a(char label) const { return a.find(label) != std::string::npos; }
  bool in_b(char label) const { return b.find(label) != std::string::npos; }
  bool in_result(char label) const { return result.find(label) != std::string::npos; }
  std::string text() const { return a + "," + b + "->" + result; }
  /// A letter for one more axis. Throws InternalError if all are taken.
  char unused_label() const;
};

/// Throws CompileError unless labels are letters, no label appears twice in one operand or in the result, and the
/// result's labels come from the operands.
ContractSpec parse_contract_spec(std::string_view text);

}  // namespace moru
