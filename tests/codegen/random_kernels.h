// Makes random kernels that keep every promise of kernels.h, in every statement form.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "compiler/ir/kernels.h"
#include "tests/codegen/kernel_run.h"

namespace moru::test {

class KernelMaker {
 public:
  KernelMaker(std::string entry, uint64_t seed, bool with_f64_fma) : random_(seed), with_f64_fma_(with_f64_fma) { kernel_.entry = std::move(entry); }

  Kernel make() {
    const int64_t statements = random_.between(1, 3);
    for (int64_t i = 0; i < statements; ++i) kernel_.body.push_back(nest());
    return std::move(kernel_);
  }

  static Symbols random_symbols(Random& random) {
    return {{"n", random.between(1, 70)}, {"batch", random.between(1, 37)}, {"time", random.between(1, 5)}, {"workers", 3}};
  }

 private:
  struct Variable {
    std::string name;
    Dim extent;
  };

  Random random_;
  bool with_f64_fma_;
  Kernel kernel_;
  std::vector<Variable> scope_;
  int names_ = 0;

  std::string fresh(const char* stem) { return stem + std::to_string(names_++); }

  Dim extent(int64_t most) {
    switch (random_.between(0, 9)) {
      case 0: case 1: return most >= 70 ? Dim::symbol("n") : Dim::symbol("time");
      case 2: return most >= 37 ? Dim::symbol("batch") : Dim::symbol("time");
      case 3: return most >= 70 ? Dim::symbol("time") * Dim::symbol("batch") : Dim(2);
      case 4: return floor_div(Dim::symbol("n") + 1, Dim(2)) - (most < 37 ? floor_div(Dim::symbol("n") + 1, Dim(2)) - Dim(3) : Dim(0));
      default: return Dim(random_.between(1, most));
    }
  }

  BufferId buffer(DType dtype, Dim elements) {
    kernel_.buffers.push_back({fresh("b"), dtype, std::move(elements), -1});
    return static_cast<BufferId>(kernel_.buffers.size() - 1);
  }

  // An address that is different for every point of `variables`; those of `broadcast` chance are left out.
  std::pair<Dim, Dim> layout(std::vector<Variable> variables, int broadcast, bool unit_last) {
    Dim offset = random_.between(0, 3), elements = 1;
    for (size_t i = variables.size(); i > 1 && !unit_last; --i) std::swap(variables[i - 1], variables[static_cast<size_t>(random_.between(0, static_cast<int64_t>(i) - 1))]);
    Dim stride = unit_last || random_.chance(80) ? 1 : random_.between(2, 3);
    Dim last = offset;
    for (auto variable = variables.rbegin(); variable != variables.rend(); ++variable) {
      if (!(unit_last && variable == variables.rbegin()) && random_.chance(broadcast)) continue;
      const Dim value = Dim::symbol(variable->name);
      if (!unit_last && random_.chance(15)) offset += stride * (variable->extent - 1 - value);
      else offset += stride * value;
      last += stride * (variable->extent - 1);
      stride = stride * variable->extent + (random_.chance(20) ? Dim(random_.between(0, 5)) : Dim(0));
    }
    elements = last + 1;
    return {offset, elements};
  }

  Expr load_new(DType dtype, int broadcast = 25) {
    auto [offset, elements] = layout(scope_, broadcast, false);
    const BufferId id = buffer(dtype, elements);
    return expr::load(kernel_.buffers[id], id, offset);
  }

  // A table look-up: a clamped i64 address.
  Expr load_dynamic(DType dtype) {
    const BufferId table = buffer(dtype, 19);
    Expr at = expr::binary(ExprOp::max, expr::binary(ExprOp::min, load_new(DType::i64), expr::integer(9, DType::i64)), expr::integer(-9, DType::i64));
    return expr::load(kernel_.buffers[table], table, 9, at);
  }

  DType any_type() { return static_cast<DType>(random_.between(0, 4)); }
  DType number_type() { return static_cast<DType>(random_.between(0, 3)); }

  Expr leaf(DType dtype) {
    if (random_.chance(60)) return load_new(dtype);
    if (random_.chance(10)) return load_dynamic(dtype);
    if (dtype == DType::boolean) return expr::binary(ExprOp::less, load_new(DType::f32), expr::constant(0.25));
    if (!scope_.empty() && random_.chance(30)) {
      Dim dim = Dim::symbol(scope_.back().name) * random_.between(1, 3) + random_.between(-2, 2);
      if (random_.chance(30)) dim = floor_div(dim, Dim(random_.between(1, 7)));
      return expr::convert(expr::index(dim), dtype);
    }
    if (is_float(dtype)) return expr::constant(random_.chance(30) ? 0.0 : random_.chance(20) ? -0.0 : random_.real(), dtype);
    return expr::integer(random_.between(-4, 4), dtype);
  }

  Expr expression(DType dtype, int depth) {
    if (depth == 0) return leaf(dtype);
    const auto sub = [&](DType type) { return expression(type, depth - 1); };
    if (random_.chance(12)) return expr::select(sub(DType::boolean), sub(dtype), sub(dtype));
    if (random_.chance(12)) return expr::convert(sub(any_type()), dtype);
    if (dtype == DType::boolean) {
      const DType operands = number_type();
      switch (random_.between(0, 6)) {
        case 0: return expr::binary(ExprOp::equal, sub(operands), sub(operands));
        case 1: return expr::binary(ExprOp::not_equal, sub(operands), sub(operands));
        case 2: return expr::binary(ExprOp::less, sub(operands), sub(operands));
        case 3: return expr::binary(ExprOp::less_equal, sub(operands), sub(operands));
        case 4: return expr::binary(ExprOp::logical_and, sub(dtype), sub(dtype));
        case 5: return expr::binary(ExprOp::logical_or, sub(dtype), sub(dtype));
        default: return expr::unary(ExprOp::logical_not, sub(dtype));
      }
    }
    if (is_float(dtype)) {
      switch (random_.between(0, 13)) {
        case 0: return sub(dtype) + sub(dtype);
        case 1: return sub(dtype) - sub(dtype);
        case 2: return sub(dtype) * sub(dtype);
        case 3: return sub(dtype) / sub(dtype);
        case 4:
          if (dtype == DType::f64 && !with_f64_fma_) return sub(dtype) * sub(dtype);
          return expr::fma(sub(dtype), sub(dtype), sub(dtype));
        case 5: return expr::binary(ExprOp::min, sub(dtype), sub(dtype));
        case 6: return expr::binary(ExprOp::max, sub(dtype), sub(dtype));
        case 7: return expr::binary(random_.chance(50) ? ExprOp::max : ExprOp::min, sub(dtype),
                                    expr::constant(random_.chance(50) ? 0.0 : random_.chance(50) ? -0.0 : 0.5, dtype));
        case 8: return -sub(dtype);
        case 9: return expr::unary(ExprOp::abs, sub(dtype));
        case 10: return expr::unary(ExprOp::sqrt, sub(dtype));
        case 11: return expr::unary(ExprOp::round, sub(dtype));
        case 12: return expr::unary(ExprOp::floor, sub(dtype));
        default: return expr::unary(ExprOp::ceil, sub(dtype));
      }
    }
    const int64_t bits = dtype == DType::i32 ? 31 : 63;
    const auto count = [&] { return expr::binary(ExprOp::bit_and, sub(dtype), expr::integer(bits, dtype)); };
    switch (random_.between(0, 14)) {
      case 0: return sub(dtype) + sub(dtype);
      case 1: return sub(dtype) - sub(dtype);
      case 2: return sub(dtype) * sub(dtype);
      case 3: return sub(dtype) / sub(dtype);
      case 4: return expr::binary(ExprOp::min, sub(dtype), sub(dtype));
      case 5: return expr::binary(ExprOp::max, sub(dtype), sub(dtype));
      case 6: return -sub(dtype);
      case 7: return expr::unary(ExprOp::abs, sub(dtype));
      case 8: return expr::binary(ExprOp::bit_and, sub(dtype), sub(dtype));
      case 9: return expr::binary(ExprOp::bit_or, sub(dtype), sub(dtype));
      case 10: return expr::binary(ExprOp::bit_xor, sub(dtype), sub(dtype));
      case 11: return expr::binary(ExprOp::shl, sub(dtype), count());
      case 12: return expr::binary(random_.chance(50) ? ExprOp::shr : ExprOp::sar, sub(dtype), count());
      case 13: return expr::binary(ExprOp::mul_high_unsigned, sub(dtype), sub(dtype));
      default: return expr::bitcast(load_new(dtype == DType::i32 ? DType::f32 : DType::f64), dtype);
    }
  }

  Store store(DType dtype, Expr value) {
    auto [offset, elements] = layout(scope_, 0, false);
    const BufferId id = buffer(dtype, elements);
    if (random_.chance(30) && dtype != DType::boolean) value = value + expr::load(kernel_.buffers[id], id, offset);
    return {{id, offset, nullptr}, value, dtype != DType::boolean && random_.chance(25)};
  }

  Statement nest() {
    const int64_t form = random_.between(0, 9);
    if (form == 0) {
      For loop{fresh("chunk"), extent(6), ForKind::parallel, {}};
      scope_.push_back({loop.var, loop.extent});
      const int64_t statements = random_.between(1, 2);
      for (int64_t i = 0; i < statements; ++i) loop.body.push_back(inner());
      scope_.pop_back();
      return {loop, "random"};
    }
    if (form <= 4) {
      For loop{fresh("i"), extent(8), ForKind::serial, {}};
      scope_.push_back({loop.var, loop.extent});
      const int64_t statements = random_.between(1, 2);
      for (int64_t i = 0; i < statements; ++i) loop.body.push_back(inner());
      scope_.pop_back();
      return {loop, "random"};
    }
    return inner();
  }

  Statement scalar_store() {
    const DType dtype = any_type();
    Expr value = expression(dtype, 1);
    return {store(dtype, std::move(value)), "random"};
  }

  Statement inner() {
    switch (random_.between(0, 8)) {
      case 0: return scalar_store();
      case 1: case 2: return reduction();
      case 3: case 4: case 5: return contraction();
      case 6: return transpose();
      default: return vector_loop();
    }
  }

  Statement vector_loop() {
    For loop{fresh("j"), extent(70), ForKind::vector, {}};
    scope_.push_back({loop.var, loop.extent});
    const int64_t stores = random_.between(1, 2);
    for (int64_t i = 0; i < stores; ++i) {
      const DType dtype = any_type();
      loop.body.push_back({store(dtype, expression(dtype, static_cast<int>(random_.between(0, 3)))), "random"});
    }
    scope_.pop_back();
    return {loop, "random"};
  }

  Statement reduction() {
    // Sometimes down the columns of a matrix that lies row by row.
    const DType dtype = number_type();
    const auto op = static_cast<ReduceOp>(random_.between(0, 2));
    For columns{fresh("j"), extent(70), ForKind::serial, {}};
    const bool down = random_.chance(40);
    if (down) scope_.push_back({columns.var, columns.extent});
    auto [offset, elements] = layout(scope_, 0, down);
    const BufferId target = buffer(dtype, elements);
    Reduce reduce{fresh("k"), extent(70), op, nullptr, {target, offset, nullptr}, random_.chance(40)};
    if (down) {
      std::vector<Variable> order = scope_;
      order.insert(order.end() - 1, {reduce.var, reduce.extent});
      auto [from, size] = layout(order, 0, true);
      const BufferId id = buffer(dtype, size);
      reduce.value = expr::load(kernel_.buffers[id], id, from);
      if (random_.chance(30)) reduce.value = reduce.value * reduce.value;
      scope_.pop_back();
      columns.body.push_back({reduce, "random"});
      return {columns, "random"};
    }
    scope_.push_back({reduce.var, reduce.extent});
    reduce.value = expression(dtype, static_cast<int>(random_.between(0, 2)));
    scope_.pop_back();
    return {reduce, "random"};
  }

  std::vector<Variable> axes(int64_t count, int64_t most, std::vector<ContractionAxis>& to) {
    std::vector<Variable> made;
    for (int64_t i = 0; i < count; ++i) {
      to.push_back({fresh("a"), extent(i + 1 == count ? most : 4)});
      made.push_back({to.back().var, to.back().extent});
    }
    return made;
  }

  Statement contraction() {
    Contraction contraction;
    contraction.type = with_f64_fma_ && random_.chance(15) ? DType::f64 : DType::f32;
    const std::vector<Variable> rows = axes(random_.between(1, 2), random_.chance(50) ? 8 : 40, contraction.rows);
    const std::vector<Variable> columns = axes(random_.between(1, 2), random_.chance(40) ? 5 : 70, contraction.columns);
    const std::vector<Variable> depth = axes(random_.between(1, 2), random_.chance(50) ? 5 : 40, contraction.depth);
    const auto joined = [&](std::vector<Variable> a, const std::vector<Variable>& b) {
      a.insert(a.end(), b.begin(), b.end());
      return a;
    };
    const auto operand = [&](const std::vector<Variable>& order, bool unit_last) {
      auto [offset, elements] = layout(joined(scope_, order), 5, unit_last);
      return Access{buffer(contraction.type, elements), offset, nullptr};
    };
    contraction.a = random_.chance(60) ? operand(joined(rows, depth), true) : operand(joined(depth, rows), random_.chance(70));
    contraction.b = operand(joined(depth, columns), true);
    const std::vector<Variable> outside = scope_;
    scope_ = joined(outside, joined(rows, columns));
    if (random_.chance(60)) {
      scope_ = random_.chance(50) ? columns : scope_;
      contraction.init = expression(contraction.type, random_.chance(80) ? 0 : 1);
      scope_ = joined(outside, joined(rows, columns));
    }
    const int64_t stores = random_.between(1, 2);
    for (int64_t i = 0; i < stores; ++i) {
      Expr value = expr::accumulator(contraction.type);
      if (random_.chance(40)) value = value * expression(contraction.type, static_cast<int>(random_.between(0, 2))) + expression(contraction.type, 1);
      auto [offset, elements] = layout(scope_, 0, random_.chance(70));
      const BufferId id = buffer(contraction.type, elements);
      contraction.epilogue.push_back({{id, offset, nullptr}, value, random_.chance(25)});
    }
    scope_ = outside;
    return {contraction, "random"};
  }

  Statement transpose() {
    const DType dtype = any_type();
    const Dim rows = extent(70), columns = extent(70);
    const Dim from_stride = columns + random_.between(0, 3), to_stride = rows + random_.between(0, 3);
    // Each iteration of the loops around it has its own matrix.
    Dim which = 0, count = 1;
    for (const Variable& variable : scope_) {
      which = which * variable.extent + Dim::symbol(variable.name);
      count *= variable.extent;
    }
    const Dim skip = random_.between(0, 5);
    const BufferId from = buffer(dtype, count * rows * from_stride + skip);
    const BufferId to = buffer(dtype, count * columns * to_stride + skip);
    return {Transpose{rows, columns, {from, which * rows * from_stride + skip, nullptr}, {to, which * columns * to_stride + skip, nullptr}, from_stride, to_stride}, "random"};
  }
};

}  // namespace moru::test
