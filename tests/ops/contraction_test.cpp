#include "compiler/ops/contraction.h"

#include <doctest/doctest.h>

#include "compiler/interpret/reference.h"
#include "compiler/ir/builder.h"
#include "compiler/support/error.h"

using namespace moru;

namespace {

HostTensor tensor(std::vector<int64_t> shape, std::vector<double> data) {
  return {DType::f32, std::move(shape), std::move(data)};
}

HostTensor contract(const HostTensor& a, const HostTensor& b, std::string spec) {
  const HostTensor inputs[] = {a, b};
  return get_op("contract").reference(inputs, {{"spec", std::move(spec)}})[0];
}

std::vector<Type> infer(Type a, Type b, const char* spec) {
  const Type types[] = {std::move(a), std::move(b)};
  const bool present[] = {true, true};
  return infer_node(get_op("contract"), types, present, {{"spec", spec}}, {}, "my_node");
}

}  // namespace

TEST_CASE("contract: known products") {
  const HostTensor a = tensor({2, 3}, {1, 2, 3, 4, 5, 6});
  const HostTensor b = tensor({3, 2}, {7, 8, 9, 10, 11, 12});
  CHECK(contract(a, b, "ab,bc->ac").data == std::vector<double>{58, 64, 139, 154});
  CHECK(contract(a, b, "ab,bc->ca").data == std::vector<double>{58, 139, 64, 154});
  CHECK(contract(a, a, "ab,cb->ac").data == std::vector<double>{14, 32, 32, 77});
  CHECK(contract(a, a, "ab,ac->bc").data == std::vector<double>{17, 22, 27, 22, 29, 36, 27, 36, 45});
  CHECK(contract(a, a, "ab,ab->").data == std::vector<double>{91});
  CHECK(contract(a, a, "ab,ab->b").data == std::vector<double>{17, 29, 45});
  CHECK(contract(a, tensor({2}, {10, 100}), "ab,c->c").data == std::vector<double>{210, 2100});
  CHECK(contract(tensor({}, {3}), tensor({2}, {10, 100}), ",a->a").data == std::vector<double>{30, 300});
}

TEST_CASE("contract: a batch of products over symbolic extents") {
  const Dim batch = Dim::symbol("batch");
  const std::vector<Type> types = infer({DType::f32, {batch, 3, 4}}, {DType::f32, {batch, 4, 5}}, "nab,nbc->nac");
  CHECK(types == std::vector<Type>{{DType::f32, {batch, 3, 5}}});
}

TEST_CASE("contract: wrong specs and shapes are refused in words") {
  const Type matrix{DType::f32, {3, 4}};
  CHECK_THROWS_WITH_AS(infer(matrix, matrix, "ab,bc"), doctest::Contains("not of the form"), CompileError);
  CHECK_THROWS_WITH_AS(infer(matrix, matrix, "aa,bc->a"), doctest::Contains("'a' appears twice"), CompileError);
  CHECK_THROWS_WITH_AS(infer(matrix, matrix, "ab,bc->ad"), doctest::Contains("'d' of the result"), CompileError);
  CHECK_THROWS_WITH_AS(infer(matrix, matrix, "a1,bc->a"), doctest::Contains("letters"), CompileError);
  CHECK_THROWS_WITH_AS(infer(matrix, matrix, "abc,cd->abd"), doctest::Contains("names 3 axes of operand 'a'"),
                       CompileError);
  CHECK_THROWS_WITH_AS(infer(matrix, matrix, "ab,bc->ac"),
                       doctest::Contains("axis 'b' of 'ab,bc->ac' is 4 in [3, 4] but 3"), CompileError);
  CHECK_THROWS_WITH_AS(infer(matrix, {DType::f64, {4, 3}}, "ab,bc->ac"), doctest::Contains("same element type"),
                       CompileError);
  CHECK_THROWS_WITH_AS(infer({DType::i32, {3}}, {DType::i32, {3}}, "a,a->"), doctest::Contains("floating-point"),
                       CompileError);
}
