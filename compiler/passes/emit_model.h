// emit_model: the part of make_entries that puts a model's layers into a graph, and its weights and states into slots.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "compiler/ir/builder.h"
#include "compiler/ir/graph.h"
#include "compiler/model/model.h"
#include "compiler/passes/make_entries.h"
#include "compiler/support/error.h"

namespace moru {

// One entry's graph while it is built: reads each slot once.
class EntryBuilder {
 public:
  EntryBuilder(Module& module, std::string name, bool training)
      : module_(module), training_(training), builder_(graph_) {
    graph_.name = std::move(name);
  }

  Builder& builder() { return builder_; }
  bool training() const { return training_; }

  Value read(const std::string& slot) {
    auto found = read_.find(slot);
    if (found != read_.end()) return builder_.value(found->second);
    const Slot* s = module_.find_slot(slot);
    if (!s) throw InternalError("no slot '" + slot + "'");
    Value value = builder_.input(s->type, slot, slot);
    read_[slot] = value.id;
    return value;
  }
  void write(const std::string& slot, Value value) { builder_.result(value, slot); }
  /// A new value for a slot that is read and written: later reads see it.
  void replace(const std::string& slot, Value value) {
    const Slot* s = module_.find_slot(slot);
    if (s->kind == SlotKind::parameter && s->trainable && replaced_.count(slot))
      throw CompileError({.stage = "make_entries",
                          .node = builder_.origin(),
                          .what = "training changes the weight '" + slot + "' in every call of its layer, so that there can be one call only",
                          .hint = "call it once, on the inputs joined along the batch"});
    replaced_[slot] = read_[slot] = value.id;
  }
  Graph take() {
    for (const auto& [slot, value] : replaced_) builder_.result(builder_.value(value), slot);
    return std::move(graph_);
  }

  std::vector<Value> regularization;  // activity penalties, already divided by the batch
  std::vector<BodyPlace>* places = nullptr;
  size_t node_count() const { return graph_.nodes.size(); }

 private:
  Module& module_;
  bool training_;
  Graph graph_;
  Builder builder_;
  std::map<std::string, ValueId> read_;
  std::map<std::string, ValueId> replaced_;
};

// A tensor and its mask: no value where there is none.
struct MaskedValue {
  Value value, mask = {};
};

using NodeValues = std::vector<std::vector<MaskedValue>>;  // by model node, by output

// What a call of a model sees of where it stands.
struct Scope {
  std::string prefix;     // of names of slots
  bool trainable = true;  // all enclosing models are
  Scope inside(const Layer& layer, const std::string& name) const { return {prefix + name, trainable && layer.trainable}; }
};

/// The nodes of all layers of a model, nested ones included.
NodeValues emit_model(EntryBuilder& entry, const Model& model, std::span<const MaskedValue> inputs, const Scope& scope);

/// Throws CompileError where the name is taken.
void add_slot(Module& module, Slot slot);
void add_parameter_slots(Module& module, Model& model);
/// A slot for each state that a layer keeps between calls, and their names, through nested models.
void add_state_slots(Module& module, const Model& model, const std::string& prefix, std::vector<std::string>& states);
std::string parameter_slot(const std::string& prefix, const Layer& layer, const std::string& parameter);

/// The penalty of a regularizer {class="L1L2", l1=, l2=} on a weight or an output; no value if there is none.
Value penalty(Builder& b, Value w, const AttributeValue& regularizer);

}  // namespace moru
