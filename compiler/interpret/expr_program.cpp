#include "compiler/interpret/expr_program.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compiler/ir/expr_types.h"
#include "compiler/ir/scalar_arithmetic.h"
#include "compiler/support/error.h"

// Where the build is for a machine without fma, std::fma is a library call; these copies are chosen when the program
// starts. Sanitizers cannot run code that early.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define MORU_FMA_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#else
#define MORU_FMA_CLONES
#endif

namespace moru {

namespace {

MORU_FMA_CLONES void fma_rows(const float* a, const float* b, const float* c, float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = std::fma(a[i], b[i], c[i]);
}
MORU_FMA_CLONES void fma_rows(const double* a, const double* b, const double* c, double* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = std::fma(a[i], b[i], c[i]);
}
MORU_FMA_CLONES void fma_dense(float a, const float* b, float* acc, int64_t count) {
  for (int64_t i = 0; i < count; ++i) acc[i] = std::fma(a, b[i], acc[i]);
}
MORU_FMA_CLONES void fma_dense(double a, const double* b, double* acc, int64_t count) {
  for (int64_t i = 0; i < count; ++i) acc[i] = std::fma(a, b[i], acc[i]);
}

constexpr size_t register_bytes = block_points * 8;

}  // namespace

void fused_multiply_add(float a, const float* b, int64_t stride, float* acc, int64_t count) {
  if (stride == 1) return fma_dense(a, b, acc, count);
  for (int64_t i = 0; i < count; ++i) acc[i] = std::fma(a, b[i * stride], acc[i]);
}
void fused_multiply_add(double a, const double* b, int64_t stride, double* acc, int64_t count) {
  if (stride == 1) return fma_dense(a, b, acc, count);
  for (int64_t i = 0; i < count; ++i) acc[i] = std::fma(a, b[i * stride], acc[i]);
}

// The instructions. A register holds `block.count` values of its type.
struct ExprProgram::Steps {
  template <class T>
  static T* get(const Frame& frame, RegisterId id) {
    return static_cast<T*>(frame.program.register_data(id));
  }

  template <class T, class F>
  static void unary(const Instruction& i, const Frame& frame) {
    T* to = get<T>(frame, i.to);
    const T* a = get<T>(frame, i.a);
    for (int64_t p = 0; p < frame.block.count; ++p) to[p] = F{}(a[p]);
  }
  template <class T, class To, class F>
  static void binary(const Instruction& i, const Frame& frame) {
    To* to = get<To>(frame, i.to);
    const T* a = get<T>(frame, i.a);
    const T* b = get<T>(frame, i.b);
    for (int64_t p = 0; p < frame.block.count; ++p) to[p] = F{}(a[p], b[p]);
  }
  template <class T>
  static void fma(const Instruction& i, const Frame& frame) {
    fma_rows(get<T>(frame, i.a), get<T>(frame, i.b), get<T>(frame, i.c), get<T>(frame, i.to), frame.block.count);
  }
  template <class T>
  static void select(const Instruction& i, const Frame& frame) {
    T* to = get<T>(frame, i.to);
    const uint8_t* condition = get<uint8_t>(frame, i.a);
    const T* b = get<T>(frame, i.b);
    const T* c = get<T>(frame, i.c);
    for (int64_t p = 0; p < frame.block.count; ++p) to[p] = condition[p] ? b[p] : c[p];
  }
  template <class To, class From>
  static void convert(const Instruction& i, const Frame& frame) {
    To* to = get<To>(frame, i.to);
    const From* a = get<From>(frame, i.a);
    for (int64_t p = 0; p < frame.block.count; ++p) to[p] = scalar::convert<To>(a[p]);
  }
  template <class T>  // bits are not looked at
  static void copy(const Instruction& i, const Frame& frame) {
    std::memcpy(get<T>(frame, i.to), get<T>(frame, i.a), sizeof(T) * static_cast<size_t>(frame.block.count));
  }
  static void index(const Instruction& i, const Frame& frame) {
    int64_t* to = get<int64_t>(frame, i.to);
    const Address& address = frame.program.addresses_[static_cast<size_t>(i.address)];
    if (address.linear) {
      const int64_t first = address.offset.evaluate(frame.values);
      const int64_t stride = address.stride.evaluate(frame.values);
      for (int64_t p = 0; p < frame.block.count; ++p) to[p] = scalar::add(first, scalar::mul(stride, p));
    } else {
      frame.program.offsets_of(address, frame.values);
      std::copy_n(frame.program.offsets_.data(), frame.block.count, to);
    }
  }
  template <class T>
  static void load(const Instruction& i, const Frame& frame) {
    T* to = get<T>(frame, i.to);
    const Address& address = frame.program.addresses_[static_cast<size_t>(i.address)];
    const BlockAddress at = frame.program.locate(address, frame.values, frame.buffers);
    const T* from = reinterpret_cast<const T*>(frame.buffers[address.buffer].data);
    for (int64_t p = 0; p < frame.block.count; ++p) to[p] = from[at.at(p)];
  }
  static void accumulator(const Instruction& i, const Frame& frame) {
    check_internal(frame.accumulator != nullptr, "acc is used outside of a contraction's epilogue");
    std::memcpy(get<std::byte>(frame, i.to), frame.accumulator, static_cast<size_t>(i.bytes * frame.block.count));
  }

  static Step find(const ExprNode& node) {
    Step step = nullptr;
    const DType from = node.args.empty() ? node.type : node.args.back()->type;
    scalar::visit_type(from, [&](auto zero) {
      using T = decltype(zero);
      switch (node.op) {
        case ExprOp::load:
          step = &load<T>;
          return;
        case ExprOp::index:
          step = &index;
          return;
        case ExprOp::accumulator:
          step = &accumulator;
          return;
        case ExprOp::select:
          step = &select<T>;
          return;
        case ExprOp::bitcast:
          step = &copy<T>;
          return;
        case ExprOp::fma:
          if constexpr (scalar::is_float_v<T>) step = &fma<T>;
          return;
        case ExprOp::convert:
          scalar::visit_type(node.type, [&](auto to) { step = &convert<decltype(to), T>; });
          return;
        default:
          break;
      }
      if (node.args.size() == 1)
        scalar::visit_unary<T>(node.op, [&](auto f) { step = &unary<T, decltype(f)>; });
      else if (!scalar::visit_binary<T>(node.op, [&](auto f) { step = &binary<T, T, decltype(f)>; }))
        scalar::visit_comparison<T>(node.op, [&](auto f) { step = &binary<T, uint8_t, decltype(f)>; });
    });
    if (!step) throw InternalError("the kernel interpreter cannot compute " + std::string(expr_op_name(node.op)));
    return step;
  }
};

struct ExprProgram::Compilation {
  const NameScope& scope;
  std::span<const Buffer> buffers;
  std::unordered_map<const ExprNode*, int> uses = {};
  std::unordered_map<const ExprNode*, RegisterId> done = {};
  std::vector<RegisterId> free = {};
  std::vector<std::pair<RegisterId, const ExprNode*>> constants = {};

  void count_uses(const Expr& expr) {
    if (!expr || uses[expr.get()]++ > 0) return;
    for (const Expr& arg : expr->args) count_uses(arg);
    if (expr->op == ExprOp::load) count_uses(expr->access.dynamic);
  }
  void release(const Expr& expr) {
    if (expr && --uses[expr.get()] == 0) free.push_back(done.at(expr.get()));
  }
};

ExprProgram::ExprProgram(const NameScope& scope, std::span<const Buffer> buffers, const PointVariable& variable,
                         std::vector<Expr> results, std::span<const Access> addresses)
    : variable_(variable) {
  Compilation c{scope, buffers};
  for (const Expr& result : results) c.count_uses(result);
  for (const Access& access : addresses) c.count_uses(access.dynamic);
  // Roots are never released: their values are read after the program has run.
  for (const Access& access : addresses) addresses_.push_back(make_address(c, access.offset, access.buffer, nullptr));
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (addresses[i].dynamic) {
      const RegisterId dynamic = compile(c, addresses[i].dynamic);  // may make addresses_ grow
      addresses_[i].dynamic = dynamic;
    }
  }
  for (const Expr& result : results) results_.push_back(compile(c, result));
  memory_.resize(static_cast<size_t>(register_count_) * register_bytes);
  for (const auto& [id, node] : c.constants) {
    scalar::visit_type(node->type, [&](auto zero) {
      using T = decltype(zero);
      T value{};
      if constexpr (scalar::is_float_v<T>)
        value = static_cast<T>(node->number);
      else if constexpr (!scalar::is_stored_only_v<T>)
        value = static_cast<T>(node->bits);
      std::fill_n(static_cast<T*>(register_data(id)), block_points, value);
    });
  }
}

void* ExprProgram::register_data(RegisterId id) const {
  return const_cast<std::byte*>(memory_.data()) + static_cast<size_t>(id) * register_bytes;
}

ExprProgram::RegisterId ExprProgram::new_register(Compilation& c) {
  if (c.free.empty()) return register_count_++;
  const RegisterId id = c.free.back();
  c.free.pop_back();
  return id;
}

ExprProgram::Address ExprProgram::make_address(Compilation& c, const Dim& offset, BufferId buffer,
                                               const Expr& dynamic) {
  Address address;
  check_internal(buffer == no_buffer || buffer < c.buffers.size(), "an access to a buffer that does not exist");
  address.buffer = buffer;
  address.offset = DimProgram(offset, c.scope);
  if (variable_.position >= 0) {
    const auto stride = offset.coefficient(variable_.name);
    address.linear = stride.has_value();
    if (stride) address.stride = DimProgram(*stride, c.scope);
  } else {
    address.stride = DimProgram(0, c.scope);
  }
  if (dynamic) address.dynamic = compile(c, dynamic);
  return address;
}

ExprProgram::RegisterId ExprProgram::compile(Compilation& c, const Expr& expr) {
  if (auto found = c.done.find(expr.get()); found != c.done.end()) return found->second;
  if (expr->op == ExprOp::constant) {
    const RegisterId id = register_count_++;  // its own for ever: filled once, before the first run
    c.constants.emplace_back(id, expr.get());
    c.uses[expr.get()]++;
    c.done[expr.get()] = id;
    return id;
  }
  Instruction i;
  i.step = Steps::find(*expr);
  RegisterId* operands[] = {&i.a, &i.b, &i.c};
  for (size_t k = 0; k < expr->args.size(); ++k) *operands[k] = compile(c, expr->args[k]);
  if (expr->op == ExprOp::load || expr->op == ExprOp::index) {
    const bool is_load = expr->op == ExprOp::load;
    Address address = make_address(c, is_load ? expr->access.offset : expr->dim, expr->access.buffer,
                                   is_load ? expr->access.dynamic : nullptr);
    i.address = static_cast<int>(addresses_.size());
    addresses_.push_back(std::move(address));
  }
  i.bytes = dtype_bytes(expr->type);
  i.to = new_register(c);  // before the operands are released: types of different sizes must not overlap
  for (const Expr& arg : expr->args) c.release(arg);
  if (expr->op == ExprOp::load) c.release(expr->access.dynamic);
  instructions_.push_back(i);
  c.done[expr.get()] = i.to;
  return i.to;
}

void ExprProgram::run(const PointBlock& block, int64_t* values, std::span<const BoundBuffer> buffers,
                      const void* accumulator) {
  block_ = block;
  if (variable_.position >= 0) values[variable_.position] = block.first;
  const Frame frame{*this, block_, values, buffers, accumulator};
  for (const Instruction& i : instructions_) i.step(i, frame);
}

// Where the offset is not linear, it is computed point by point.
void ExprProgram::offsets_of(const Address& address, int64_t* values) {
  offsets_.resize(block_points);
  if (address.linear) {
    const int64_t base = address.offset.evaluate(values), stride = address.stride.evaluate(values);
    for (int64_t p = 0; p < block_.count; ++p) offsets_[static_cast<size_t>(p)] = base + stride * p;
    return;
  }
  for (int64_t p = 0; p < block_.count; ++p) {
    values[variable_.position] = block_.first + p;
    offsets_[static_cast<size_t>(p)] = address.offset.evaluate(values);
  }
  values[variable_.position] = block_.first;
}

BlockAddress ExprProgram::locate(const Address& address, int64_t* values, std::span<const BoundBuffer> buffers) {
  const BoundBuffer& buffer = buffers[address.buffer];
  auto check = [&](int64_t offset) {
    if (offset < 0 || offset >= buffer.elements)
      throw InternalError("reaches element " + std::to_string(offset) + " of buffer \"" + buffer.name +
                          "\", which has " + std::to_string(buffer.elements));
    if (!buffer.data) throw InternalError("uses the buffer \"" + buffer.name + "\", which has no memory");
  };
  BlockAddress result;
  if (address.linear && address.dynamic < 0) {
    result.base = address.offset.evaluate(values);
    result.stride = address.stride.evaluate(values);
    check(result.base);
    int64_t last = 0;
    if (__builtin_mul_overflow(result.stride, block_.count - 1, &last) ||
        __builtin_add_overflow(last, result.base, &last))
      throw InternalError("an address overflows 64 bits");
    check(last);
    return result;
  }
  offsets_of(address, values);
  const int64_t* dynamic = address.dynamic < 0 ? nullptr : static_cast<const int64_t*>(register_data(address.dynamic));
  for (int64_t p = 0; p < block_.count; ++p) {
    int64_t& offset = offsets_[static_cast<size_t>(p)];
    if (dynamic) offset = scalar::add(offset, dynamic[p]);
    check(offset);
  }
  result.offsets = offsets_.data();
  return result;
}

BlockAddress ExprProgram::address(size_t index, int64_t* values, std::span<const BoundBuffer> buffers) {
  return locate(addresses_[index], values, buffers);
}

}  // namespace moru
