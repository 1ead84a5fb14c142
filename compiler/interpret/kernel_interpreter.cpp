#include "compiler/interpret/kernel_interpreter.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "compiler/interpret/expr_program.h"
#include "compiler/ir/scalar_arithmetic.h"
#include "compiler/ir/statement_label.h"
#include "compiler/support/error.h"

namespace moru {

namespace {

struct Machine {
  std::vector<BoundBuffer> buffers;
  std::vector<int64_t> values;  // of the names in scope, by position
  InterpretKernelOptions options;
};

/// A compiled statement.
class Code {
 public:
  virtual ~Code() = default;
  virtual void run(Machine& machine) = 0;
};
using CodePtr = std::unique_ptr<Code>;

struct Compiler {
  const Kernel& kernel;
  NameScope scope = {};

  std::vector<CodePtr> block(const Block& statements);
  CodePtr statement(const Statement& statement);
};

// Where an exception passes through a statement it learns its name; only the innermost one is wanted.
struct NamedError : InternalError {
  using InternalError::InternalError;
};
template <class F>
void named(const std::string& label, F&& run) {
  try {
    run();
  } catch (const NamedError&) {
    throw;
  } catch (const std::exception& error) {
    throw NamedError(label + ": " + error.what());
  }
}

/// A store at the points of a block.
class StoreCode {
 public:
  StoreCode(const Compiler& c, const Store& store, const PointVariable& variable)
      : program_(c.scope, c.kernel.buffers, variable, {store.value}, {&store.access, 1}),
        buffer_(store.access.buffer),
        accumulate_(store.accumulate) {
    check_internal(store.value->type == c.kernel.buffers[buffer_].dtype, "a stored value is not of its buffer's type");
  }

  void run(Machine& machine, const PointBlock& block, const void* accumulator = nullptr) {
    program_.run(block, machine.values.data(), machine.buffers, accumulator);
    const BlockAddress at = program_.address(0, machine.values.data(), machine.buffers);
    const BoundBuffer& buffer = machine.buffers[buffer_];
    scalar::visit_type(buffer.dtype, [&](auto zero) {
      using T = decltype(zero);
      const T* value = static_cast<const T*>(program_.result(0));
      T* to = reinterpret_cast<T*>(buffer.data);
      for (int64_t p = 0; p < block.count; ++p) {
        T& element = to[at.at(p)];
        if constexpr (scalar::is_float_v<T> || scalar::is_integer_v<T>) {
          if (accumulate_) {
            element = scalar::add(element, value[p]);
            continue;
          }
        }
        element = value[p];
      }
    });
  }

 private:
  ExprProgram program_;
  BufferId buffer_;
  bool accumulate_;
};

class SingleStore final : public Code {
 public:
  SingleStore(const Compiler& c, const Store& store, std::string label)
      : label_(std::move(label)), store_(c, store, {}) {}
  void run(Machine& machine) override {
    named(label_, [&] { store_.run(machine, {}); });
  }

 private:
  std::string label_;
  StoreCode store_;
};

/// A vector loop: each of its stores for a whole block of iterations after the other, which its promise allows.
class VectorLoop final : public Code {
 public:
  VectorLoop(Compiler& c, const For& loop) {
    extent_ = DimProgram(loop.extent, c.scope);
    const PointVariable variable{loop.var, c.scope.push(loop.var)};
    for (const Statement& statement : loop.body) {
      labels_.push_back(statement_label(c.kernel, statement));
      named(labels_.back(), [&] { stores_.emplace_back(c, std::get<Store>(statement.node), variable); });
    }
    c.scope.pop();
  }
  void run(Machine& machine) override {
    const int64_t extent = extent_.evaluate(machine.values.data());
    const int64_t blocks = extent <= 0 ? 0 : ceil_div(extent, block_points);
    for (int64_t k = 0; k < blocks; ++k) {
      const int64_t first = (machine.options.reverse_independent_loops ? blocks - 1 - k : k) * block_points;
      const PointBlock block{first, std::min(block_points, extent - first)};
      for (size_t s = 0; s < stores_.size(); ++s) named(labels_[s], [&] { stores_[s].run(machine, block); });
    }
  }

 private:
  DimProgram extent_;
  std::vector<std::string> labels_;
  std::vector<StoreCode> stores_;
};

/// A serial or parallel loop.
class Loop final : public Code {
 public:
  Loop(Compiler& c, const For& loop) : parallel_(loop.kind == ForKind::parallel) {
    extent_ = DimProgram(loop.extent, c.scope);
    position_ = c.scope.push(loop.var);
    if (parallel_) {
      workers_ = c.scope.find("workers");
      worker_ = c.scope.push("worker");
    }
    body_ = c.block(loop.body);
    if (parallel_) c.scope.pop();
    c.scope.pop();
  }
  void run(Machine& machine) override {
    const int64_t extent = extent_.evaluate(machine.values.data());
    const bool reverse = parallel_ && machine.options.reverse_independent_loops;
    for (int64_t k = 0; k < extent; ++k) {
      const int64_t iteration = reverse ? extent - 1 - k : k;
      machine.values[static_cast<size_t>(position_)] = iteration;
      if (parallel_) {
        const int64_t workers = std::max<int64_t>(machine.values[static_cast<size_t>(workers_)], 1);
        machine.values[static_cast<size_t>(worker_)] = iteration % workers;
      }
      for (const CodePtr& statement : body_) statement->run(machine);
    }
  }

 private:
  bool parallel_;
  int position_ = -1, worker_ = -1, workers_ = -1;
  DimProgram extent_;
  std::vector<CodePtr> body_;
};

class ReduceCode final : public Code {
 public:
  ReduceCode(Compiler& c, const Reduce& reduce, std::string label)
      : label_(std::move(label)),
        op_(reduce.op),
        accumulate_(reduce.accumulate),
        buffer_(reduce.target.buffer),
        target_(c.scope, c.kernel.buffers, {}, {}, {&reduce.target, 1}),
        value_(make_value(c, reduce)) {
    extent_ = DimProgram(reduce.extent, c.scope);
    check_internal(reduce.value->type == c.kernel.buffers[buffer_].dtype, "a reduction is not of its target's type");
  }
  void run(Machine& machine) override {
    named(label_, [&] {
      const DType type = machine.buffers[buffer_].dtype;
      scalar::visit_type(type, [&](auto zero) {
        using T = decltype(zero);
        if constexpr (scalar::is_float_v<T> || scalar::is_integer_v<T>)
          reduce<T>(machine);
        else
          throw InternalError("only numbers that are computed with can be reduced");
      });
    });
  }

 private:
  std::string label_;
  ReduceOp op_;
  bool accumulate_;
  BufferId buffer_;
  ExprProgram target_;
  ExprProgram value_;
  DimProgram extent_;

  static ExprProgram make_value(Compiler& c, const Reduce& reduce) {
    const PointVariable variable{reduce.var, c.scope.push(reduce.var)};
    ExprProgram program(c.scope, c.kernel.buffers, variable, {reduce.value}, {});
    c.scope.pop();
    return program;
  }

  template <class T>
  T combine(T a, T b) const {
    switch (op_) {
      case ReduceOp::add:
        return scalar::add(a, b);
      case ReduceOp::max:
        return scalar::maximum(a, b);
      case ReduceOp::min:
        break;
    }
    return scalar::minimum(a, b);
  }
  template <class T>
  T identity() const {
    using Limits = std::numeric_limits<T>;
    if constexpr (scalar::is_float_v<T>)
      return op_ == ReduceOp::add ? T(-0.0) : op_ == ReduceOp::max ? -Limits::infinity() : Limits::infinity();
    else
      return op_ == ReduceOp::add ? T{0} : op_ == ReduceOp::max ? Limits::lowest() : Limits::max();
  }

  template <class T>
  void reduce(Machine& machine) {
    constexpr int64_t partials = 16;
    static_assert(block_points % partials == 0);
    T partial[partials];
    std::fill_n(partial, partials, identity<T>());
    const int64_t extent = extent_.evaluate(machine.values.data());
    for (int64_t first = 0; first < extent; first += block_points) {
      const int64_t count = std::min(block_points, extent - first);
      value_.run({first, count}, machine.values.data(), machine.buffers);
      const T* value = static_cast<const T*>(value_.result(0));
      for (int64_t p = 0; p < count; ++p) partial[p % partials] = combine(partial[p % partials], value[p]);
    }
    for (int64_t half = partials / 2; half > 0; half /= 2)
      for (int64_t p = 0; p < half; ++p) partial[p] = combine(partial[p], partial[p + half]);

    target_.run({}, machine.values.data(), machine.buffers);
    const BlockAddress at = target_.address(0, machine.values.data(), machine.buffers);
    T& element = reinterpret_cast<T*>(machine.buffers[buffer_].data)[at.base + (at.offsets ? at.offsets[0] : 0)];
    element = accumulate_ ? combine(element, partial[0]) : partial[0];
  }
};

/// Blocks run along the last column axis, so that a depth point is one fused multiply-add of a number with a block.
class ContractionCode final : public Code {
 public:
  ContractionCode(Compiler& c, const Contraction& contraction, std::string label)
      : label_(std::move(label)), type_(contraction.type) {
    check_internal(is_float(type_), "a contraction is in f32 or f64");
    add_axes(c, contraction.rows, outer_);
    add_axes(c, contraction.columns, outer_);
    if (!contraction.columns.empty()) {
      last_column_ = {contraction.columns.back().var, outer_.back().position};
      last_extent_ = outer_.back().extent;
      outer_.pop_back();
    } else {
      last_extent_ = DimProgram(1, c.scope);
    }
    const Expr init = contraction.init ? contraction.init : expr::constant(0.0, type_);
    check_internal(init->type == type_, "the type of init is not the contraction's");
    init_ = std::make_unique<ExprProgram>(c.scope, c.kernel.buffers, last_column_, std::vector<Expr>{init},
                                          std::span<const Access>{});
    for (const Store& store : contraction.epilogue) epilogue_.emplace_back(c, store, last_column_);

    add_axes(c, contraction.depth, depth_);
    const Expr a = operand(c, contraction.a), b = operand(c, contraction.b);
    check_internal(a->type == type_ && b->type == type_, "the types of a and b are not the contraction's");
    bf16_ = c.kernel.buffers[contraction.a.buffer].dtype == DType::bf16;
    operands_ = std::make_unique<ExprProgram>(c.scope, c.kernel.buffers, last_column_, std::vector<Expr>{a, b},
                                              std::span<const Access>{});
    find_strides(c, contraction);
    for (size_t k = 0; k < contraction.rows.size() + contraction.columns.size() + contraction.depth.size(); ++k)
      c.scope.pop();
  }

  void run(Machine& machine) override {
    named(label_, [&] {
      columns_ = last_extent_.evaluate(machine.values.data());
      depth_extents(machine);
      if (type_ == DType::f32)
        outer<float>(machine, 0);
      else
        outer<double>(machine, 0);
    });
  }

 private:
  struct Axis {
    int position;
    DimProgram extent;
    int64_t count = 0;
  };
  struct Operand {  // of the direct path
    BufferId buffer = no_buffer;
    DimProgram offset, depth_stride, column_stride;
  };

  std::string label_;
  DType type_;
  std::vector<Axis> outer_;  // rows and columns but the last column
  std::vector<Axis> depth_;
  PointVariable last_column_;
  DimProgram last_extent_;
  int64_t columns_ = 0;
  std::unique_ptr<ExprProgram> init_, operands_;
  std::vector<StoreCode> epilogue_;
  bool bf16_ = false;    // the operands
  bool direct_ = false;  // a and b move by fixed strides along the last depth axis and the block
  Operand a_, b_;
  alignas(64) std::byte acc_[block_points * 8];

  static void add_axes(Compiler& c, const std::vector<ContractionAxis>& from, std::vector<Axis>& to) {
    for (const ContractionAxis& axis : from) {
      DimProgram extent(axis.extent, c.scope);
      to.push_back({c.scope.push(axis.var), std::move(extent)});
    }
  }
  static Expr operand(const Compiler& c, const Access& access) {
    check_internal(access.buffer < c.kernel.buffers.size(), "an operand is not in a buffer");
    Expr element = expr::load(c.kernel.buffers[access.buffer], access.buffer, access.offset, access.dynamic);
    return element->type == DType::bf16 ? expr::convert(std::move(element), DType::f32) : element;
  }

  void find_strides(const Compiler& c, const Contraction& contraction) {
    if (contraction.a.dynamic || contraction.b.dynamic || contraction.depth.empty()) return;
    const std::string& inner = contraction.depth.back().var;
    auto find = [&](const Access& access, Operand& to) {
      const auto along_depth = access.offset.coefficient(inner);
      const auto along_columns =
          last_column_.position < 0 ? std::optional<Dim>(0) : access.offset.coefficient(last_column_.name);
      // A stride that depends on the other variable (offset k*j) is none.
      if (!along_depth || !along_columns || along_depth->contains(last_column_.name)) return false;
      to.buffer = access.buffer;
      to.offset = DimProgram(access.offset, c.scope);
      to.depth_stride = DimProgram(*along_depth, c.scope);
      to.column_stride = DimProgram(*along_columns, c.scope);
      return true;
    };
    direct_ = find(contraction.a, a_) && find(contraction.b, b_);
    if (last_column_.position >= 0 && contraction.a.offset.contains(last_column_.name)) direct_ = false;
  }

  void depth_extents(Machine& machine) {
    for (Axis& axis : depth_) axis.count = axis.extent.evaluate(machine.values.data());
    for (Axis& axis : outer_) axis.count = axis.extent.evaluate(machine.values.data());
  }

  template <class T>
  void outer(Machine& machine, size_t axis) {
    if (axis < outer_.size()) {
      for (int64_t k = 0; k < outer_[axis].count; ++k) {
        machine.values[static_cast<size_t>(outer_[axis].position)] = k;
        outer<T>(machine, axis + 1);
      }
      return;
    }
    T* acc = reinterpret_cast<T*>(acc_);
    for (int64_t first = 0; first < columns_; first += block_points) {
      const PointBlock block{first, std::min(block_points, columns_ - first)};
      init_->run(block, machine.values.data(), machine.buffers);
      std::copy_n(static_cast<const T*>(init_->result(0)), block.count, acc);
      sum<T>(machine, block, 0, acc);
      for (StoreCode& store : epilogue_) store.run(machine, block, acc);
    }
  }

  template <class T>
  void sum(Machine& machine, const PointBlock& block, size_t axis, T* acc) {
    if (direct_ && axis + 1 == depth_.size()) {
      if constexpr (std::is_same_v<T, float>)
        if (bf16_) return sum_direct<T, scalar::BFloat16>(machine, block, acc);
      return sum_direct<T, T>(machine, block, acc);
    }
    if (axis < depth_.size()) {
      for (int64_t k = 0; k < depth_[axis].count; ++k) {
        machine.values[static_cast<size_t>(depth_[axis].position)] = axis + 1 == depth_.size() ? turn(k, depth_[axis].count) : k;
        sum<T>(machine, block, axis + 1, acc);
      }
      return;
    }
    operands_->run(block, machine.values.data(), machine.buffers);
    const T* a = static_cast<const T*>(operands_->result(0));
    const T* b = static_cast<const T*>(operands_->result(1));
    for (int64_t p = 0; p < block.count; ++p) acc[p] = std::fma(a[p], b[p], acc[p]);
  }

  // The element of the innermost depth axis that is the k-th to be added.
  int64_t turn(int64_t k, int64_t count) const { return bf16_ && (k ^ 1) < count ? k ^ 1 : k; }

  template <class T, class Element>
  void sum_direct(Machine& machine, const PointBlock& block, T* acc) {
    const int64_t depth = depth_.back().count;
    if (depth <= 0) return;
    machine.values[static_cast<size_t>(depth_.back().position)] = 0;
    if (last_column_.position >= 0) machine.values[static_cast<size_t>(last_column_.position)] = block.first;
    struct Place {
      const Element* at;
      int64_t depth_stride, column_stride;
    };
    auto locate = [&](const Operand& operand) -> Place {
      const BoundBuffer& buffer = machine.buffers[operand.buffer];
      const int64_t base = operand.offset.evaluate(machine.values.data());
      const Place place{reinterpret_cast<const Element*>(buffer.data) + base,
                        operand.depth_stride.evaluate(machine.values.data()),
                        operand.column_stride.evaluate(machine.values.data())};
      const int64_t along_depth = place.depth_stride * (depth - 1);
      const int64_t along_columns = place.column_stride * (block.count - 1);
      const int64_t low = base + std::min<int64_t>(along_depth, 0) + std::min<int64_t>(along_columns, 0);
      const int64_t high = base + std::max<int64_t>(along_depth, 0) + std::max<int64_t>(along_columns, 0);
      if (low < 0 || high >= buffer.elements)
        throw InternalError("reaches elements " + std::to_string(low) + " to " + std::to_string(high) +
                            " of buffer \"" + buffer.name + "\", which has " + std::to_string(buffer.elements));
      if (!buffer.data) throw InternalError("uses the buffer \"" + buffer.name + "\", which has no memory");
      return place;
    };
    Place a = locate(a_);
    Place b = locate(b_);
    for (int64_t turns = 0; turns < depth; ++turns) {
      const int64_t k = turn(turns, depth);
      const Element* b_row = b.at + k * b.depth_stride;
      const T factor = scalar::convert<T>(a.at[k * a.depth_stride]);
      if constexpr (std::is_same_v<T, Element>) {
        fused_multiply_add(factor, b_row, b.column_stride, acc, block.count);
      } else {
        T row[block_points];
        for (int64_t p = 0; p < block.count; ++p) row[p] = scalar::convert<T>(b_row[p * b.column_stride]);
        fused_multiply_add(factor, row, 1, acc, block.count);
      }
    }
  }
};

class TransposeCode final : public Code {
 public:
  TransposeCode(const Compiler& c, const Transpose& transpose, std::string label)
      : label_(std::move(label)),
        rows_(transpose.rows, c.scope),
        columns_(transpose.columns, c.scope),
        from_stride_(transpose.from_stride, c.scope),
        to_stride_(transpose.to_stride, c.scope),
        from_buffer_(transpose.from.buffer),
        to_buffer_(transpose.to.buffer),
        places_(make_places(c, transpose)) {}

  void run(Machine& machine) override {
    named(label_, [&] {
      int64_t* values = machine.values.data();
      const int64_t rows = rows_.evaluate(values), columns = columns_.evaluate(values);
      if (rows <= 0 || columns <= 0) return;
      const int64_t from_stride = from_stride_.evaluate(values), to_stride = to_stride_.evaluate(values);
      places_.run({}, values, machine.buffers);
      const int64_t from = places_.address(0, values, machine.buffers).at(0);
      const int64_t to = places_.address(1, values, machine.buffers).at(0);
      const BoundBuffer& source = machine.buffers[from_buffer_];
      const BoundBuffer& target = machine.buffers[to_buffer_];
      check_corners(source, from, from_stride * (rows - 1), columns - 1);
      check_corners(target, to, to_stride * (columns - 1), rows - 1);
      const size_t bytes = static_cast<size_t>(dtype_bytes(source.dtype));
      for (int64_t c = 0; c < columns; ++c)
        for (int64_t r = 0; r < rows; ++r)
          std::memcpy(target.data + static_cast<size_t>(to + c * to_stride + r) * bytes,
                      source.data + static_cast<size_t>(from + r * from_stride + c) * bytes, bytes);
    });
  }

 private:
  std::string label_;
  DimProgram rows_, columns_, from_stride_, to_stride_;
  BufferId from_buffer_, to_buffer_;
  ExprProgram places_;

  static ExprProgram make_places(const Compiler& c, const Transpose& transpose) {
    const Access accesses[] = {transpose.from, transpose.to};
    return {c.scope, c.kernel.buffers, {}, {}, accesses};
  }
  static void check_corners(const BoundBuffer& buffer, int64_t base, int64_t along, int64_t across) {
    const int64_t low = base + std::min<int64_t>(along, 0), high = base + std::max<int64_t>(along, 0) + across;
    if (low < 0 || high >= buffer.elements)
      throw InternalError("reaches elements " + std::to_string(low) + " to " + std::to_string(high) + " of buffer \"" +
                          buffer.name + "\", which has " + std::to_string(buffer.elements));
  }
};

std::vector<CodePtr> Compiler::block(const Block& statements) {
  std::vector<CodePtr> code;
  for (const Statement& each : statements) code.push_back(statement(each));
  return code;
}

CodePtr Compiler::statement(const Statement& each) {
  const std::string label = statement_label(kernel, each);
  CodePtr code;
  named(label, [&] {
    if (const Store* store = std::get_if<Store>(&each.node)) {
      code = std::make_unique<SingleStore>(*this, *store, label);
    } else if (const Reduce* reduce = std::get_if<Reduce>(&each.node)) {
      code = std::make_unique<ReduceCode>(*this, *reduce, label);
    } else if (const Contraction* contraction = std::get_if<Contraction>(&each.node)) {
      code = std::make_unique<ContractionCode>(*this, *contraction, label);
    } else if (const Transpose* transpose = std::get_if<Transpose>(&each.node)) {
      code = std::make_unique<TransposeCode>(*this, *transpose, label);
    } else {
      const For& loop = std::get<For>(each.node);
      const bool stores_only = std::all_of(loop.body.begin(), loop.body.end(), [](const Statement& inner) {
        return std::holds_alternative<Store>(inner.node);
      });
      if (loop.kind == ForKind::vector && stores_only)
        code = std::make_unique<VectorLoop>(*this, loop);
      else
        code = std::make_unique<Loop>(*this, loop);
    }
  });
  return code;
}

}  // namespace

void interpret_kernel(const Kernel& kernel, std::span<void* const> buffers,
                      const std::map<std::string, int64_t>& symbols, const InterpretKernelOptions& options) {
  check_internal(buffers.size() == kernel.buffers.size(), "a kernel is interpreted with another number of buffers");
  Compiler compiler{kernel};
  Machine machine;
  machine.options = options;
  for (const auto& [name, value] : symbols) {
    compiler.scope.push(name);
    machine.values.push_back(value);
  }
  if (!symbols.contains("workers")) {
    compiler.scope.push("workers");
    machine.values.push_back(1);
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    const Buffer& buffer = kernel.buffers[i];
    named("kernel '" + kernel.entry + "', buffer \"" + buffer.name + "\"", [&] {
      const int64_t elements = DimProgram(buffer.elements, compiler.scope).evaluate(machine.values.data());
      machine.buffers.push_back({static_cast<std::byte*>(buffers[i]), elements, buffer.dtype, buffer.name});
    });
  }
  const std::vector<CodePtr> code = compiler.block(kernel.body);
  machine.values.resize(compiler.scope.positions());
  for (const CodePtr& statement : code) statement->run(machine);
}

}  // namespace moru
