// Files that were made to hurt: each is refused with its reason, before memory or time is spent on it.
#include <doctest/doctest.h>
#include <hdf5.h>
#include <onnx/onnx_pb.h>
#include <zip.h>

#include <csignal>
#include <cstring>
#include <map>
#include <unistd.h>

#include "compiler/exchange/hdf5_file.h"
#include "compiler/exchange/hdf5_isolation.h"
#include "compiler/exchange/onnx/onnx_import.h"
#include "compiler/exchange/zip_file.h"
#include "compiler/support/error.h"
#include "tests/fuzz/importers.h"

using namespace moru;
using namespace moru::test;

namespace {

template <typename Run>
std::string message_of(Run run) {
  try {
    run();
  } catch (const CompileError& error) {
    return error.what();
  }
  return "nothing was refused";
}

void contains(const std::string& message, const char* what) {
  INFO(message);
  CHECK(message.find(what) != std::string::npos);
}

Bytes bytes_of(const onnx::ModelProto& proto) {
  const std::string text = proto.SerializeAsString();
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

onnx::ModelProto model_of(const std::string& op, int64_t opset = 17) {
  onnx::ModelProto proto;
  proto.set_ir_version(8);
  proto.add_opset_import()->set_version(opset);
  auto& graph = *proto.mutable_graph();
  auto& input = *graph.add_input();
  input.set_name("x");
  input.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  input.mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(4);
  auto& node = *graph.add_node();
  node.set_name("n");
  node.set_op_type(op);
  node.add_input("x");
  node.add_output("y");
  graph.add_output()->set_name("y");
  return proto;
}

// An HDF5 file in memory, made by the library itself.
template <typename Make>
Bytes hdf5_of(Make make) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_core(access, 1 << 16, false);
  const hid_t file = H5Fcreate("image", H5F_ACC_TRUNC, H5P_DEFAULT, access);
  make(file);
  H5Fflush(file, H5F_SCOPE_GLOBAL);
  Bytes bytes(static_cast<size_t>(H5Fget_file_image(file, nullptr, 0)));
  H5Fget_file_image(file, bytes.data(), bytes.size());
  H5Fclose(file);
  H5Pclose(access);
  return bytes;
}

}  // namespace

TEST_CASE("hdf5: a library that crashes, hangs, eats memory or dies is a damaged file, and no more") {
  const auto run = [](auto&& body) {
    return message_of([&] {
      read_in_child("m.h5", Bytes(1000), [&]() -> std::unique_ptr<Hdf5Group> {
        body();
        return std::make_unique<Hdf5Group>();
      });
    });
  };
  contains(run([] { ::raise(SIGSEGV); }), "m.h5: cannot be read as HDF5: the file is damaged");
  contains(run([] { ::_exit(0); }), "the file is damaged");
  contains(run([] { ::raise(SIGXCPU); }), "takes far longer than a file of its size should");
  contains(run([] { throw std::bad_alloc(); }), "the file is damaged");
  contains(run([] { throw CompileError({.stage = "import", .what = "m.h5: says so", .hint = "do this"}); }),
           "m.h5: says so\n  hint: do this");
  CHECK(run([] {}) == "nothing was refused");
}

TEST_CASE("hdf5: what is read in the child arrives whole") {
  Hdf5Group root;
  root.attributes["names"] = {.texts = {"a", ""}, .scalar = false};
  Hdf5Group& inner = root.make_group("a/b");
  inner.datasets["w"] = {.shape = {70000}, .integer = false, .reals = std::vector<float>(70000, 1.5f), .integers = {}};
  inner.datasets["n"] = {.shape = {}, .integer = true, .reals = {}, .integers = {-7}};
  const Bytes bytes = write_hdf5(root);
  const std::unique_ptr<Hdf5Group> read = read_hdf5(bytes, "m.h5");
  CHECK(read->attributes.at("names").texts == std::vector<std::string>{"a", ""});
  CHECK(read->find_dataset("a/b/w")->floats() == inner.datasets["w"].reals);
  CHECK(read->find_dataset("a/b/w")->reals.empty());  // it is read where it lies
  CHECK(read->find_dataset("a/b/n")->integers == std::vector<int64_t>{-7});
}

TEST_CASE("hdf5: cycles, links to elsewhere and sizes that no file holds are refused") {
  const Bytes cycle = hdf5_of([](hid_t file) {
    const hid_t group = H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_hard(file, "/", group, "up", H5P_DEFAULT, H5P_DEFAULT);
    H5Gclose(group);
  });
  contains(message_of([&] { read_hdf5(cycle, "m.h5"); }), "lies within itself");
  const Bytes link = hdf5_of([](hid_t file) { H5Lcreate_external("/etc/passwd", "/", file, "away", H5P_DEFAULT, H5P_DEFAULT); });
  contains(message_of([&] { read_hdf5(link, "m.h5"); }), "is a link to elsewhere");
  const Bytes huge = hdf5_of([](hid_t file) {
    const hsize_t extents[] = {hsize_t{1} << 20, hsize_t{1} << 16}, chunk[] = {1024, 1024};
    const hid_t space = H5Screate_simple(2, extents, nullptr), list = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(list, 2, chunk);
    H5Dclose(H5Dcreate2(file, "w", H5T_IEEE_F32LE, space, H5P_DEFAULT, list, H5P_DEFAULT));
    H5Pclose(list);
    H5Sclose(space);
  });
  contains(message_of([&] { read_hdf5(huge, "m.h5"); }), "bytes");
}

TEST_CASE("zip: bombs and names that lead out are refused") {
  const Bytes zeros(size_t{64} << 20);
  zip_error_t error;
  zip_source_t* buffer = zip_source_buffer_create(nullptr, 0, 0, &error);
  zip_source_keep(buffer);
  zip_t* archive = zip_open_from_source(buffer, ZIP_TRUNCATE, &error);
  zip_file_add(archive, "config.json", zip_source_buffer(archive, zeros.data(), zeros.size(), 0), 0);
  REQUIRE(zip_close(archive) == 0);
  zip_source_open(buffer);
  Bytes packed(size_t{1} << 20);
  packed.resize(static_cast<size_t>(zip_source_read(buffer, packed.data(), packed.size())));
  zip_source_close(buffer);
  zip_source_free(buffer);
  // 64 MiB of zeros are honest, and read; a header that says they are more is not.
  CHECK(read_zip(packed, "m.zip").at("config.json").bytes.size() == zeros.size());
  const uint32_t size = static_cast<uint32_t>(zeros.size()), lie = 0xf0000000u;
  for (size_t i = 0; i + 4 <= packed.size(); ++i)
    if (std::memcmp(packed.data() + i, &size, 4) == 0) std::memcpy(packed.data() + i, &lie, 4);
  contains(message_of([&] { read_zip(packed, "m.zip"); }), "m.zip: ");
  const Bytes text(3);
  for (const char* name : {"../a", "a/../../b", "/etc/passwd", "..\\a"})
    contains(message_of([&] { read_zip(write_zip({{name, text}}), "m.zip"); }), "leads out of the archive");
}

TEST_CASE("onnx: shapes that overflow, files beside the model and graphs in graphs are refused") {
  onnx::ModelProto proto = model_of("Relu");
  auto& tensor = *proto.mutable_graph()->add_initializer();
  tensor.set_name("w");
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  for (int i = 0; i < 4; ++i) tensor.add_dims(int64_t{1} << 40);
  contains(message_of([&] { import_onnx(bytes_of(proto), "m.onnx"); }), "'w'");

  proto = model_of("Relu");
  auto& outside = *proto.mutable_graph()->add_initializer();
  outside.set_name("w");
  outside.set_data_type(onnx::TensorProto::FLOAT);
  outside.add_dims(4);
  outside.set_data_location(onnx::TensorProto::EXTERNAL);
  auto& location = *outside.add_external_data();
  location.set_key("location");
  location.set_value("../../etc/passwd");
  proto.mutable_graph()->mutable_node(0)->set_op_type("Add");
  proto.mutable_graph()->mutable_node(0)->add_input("w");
  contains(message_of([&] { import_onnx(bytes_of(proto), "m.onnx"); }), "'w'");

  proto = model_of("Scan");
  onnx::GraphProto* graph = proto.mutable_graph();
  for (int i = 0; i < 60; ++i) {
    auto& attribute = *graph->mutable_node(0)->add_attribute();
    attribute.set_name("body");
    attribute.set_type(onnx::AttributeProto::GRAPH);
    graph = attribute.mutable_g();
    auto& node = *graph->add_node();
    node.set_op_type("Scan");
    node.add_output("y");
  }
  contains(message_of([&] { import_onnx(bytes_of(proto), "m.onnx"); }), "m.onnx");
  contains(message_of([&] { import_onnx(Bytes(100, std::byte{0x0a}), "m.onnx"); }), "is no ONNX model");
}

TEST_CASE("onnx: inputs of fewer axes than an operator looks at are refused") {
  onnx::ModelProto proto = model_of("Attention", 23);
  auto& node = *proto.mutable_graph()->mutable_node(0);
  node.clear_input();
  for (const char* name : {"q", "q", "q", "", "x", "x"}) node.add_input(name);
  auto& query = *proto.mutable_graph()->add_input();
  query.set_name("q");
  query.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  for (int64_t extent : {1, 2, 3, 4}) query.mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(extent);
  contains(message_of([&] { import_onnx(bytes_of(proto), "m.onnx"); }), "layer 'n' (Attention): needs a tensor of more axes than f32[4]");
}

TEST_CASE("onnx: decision trees that go in circles, or to where nothing is, are refused") {
  onnx::ModelProto proto = model_of("TreeEnsemble");
  auto& set = *proto.add_opset_import();
  set.set_domain("ai.onnx.ml");
  set.set_version(5);
  auto& graph = *proto.mutable_graph();
  graph.mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(2);
  auto& node = *graph.mutable_node(0);
  node.set_domain("ai.onnx.ml");
  const auto integers = [&](const char* name, std::vector<int64_t> values) {
    auto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::INTS);
    for (int64_t value : values) attribute.add_ints(value);
  };
  const auto numbers = [&](const char* name, int32_t type, double value) {
    auto& attribute = *node.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::TENSOR);
    attribute.mutable_t()->set_data_type(type);
    attribute.mutable_t()->add_dims(1);
    if (type == onnx::TensorProto::FLOAT)
      attribute.mutable_t()->add_float_data(static_cast<float>(value));
    else
      attribute.mutable_t()->add_int32_data(static_cast<int32_t>(value));
  };
  integers("nodes_featureids", {0});
  numbers("nodes_modes", onnx::TensorProto::UINT8, 0);
  numbers("nodes_splits", onnx::TensorProto::FLOAT, 1);
  integers("nodes_truenodeids", {0});
  integers("nodes_trueleafs", {0});
  integers("nodes_falsenodeids", {7});
  integers("nodes_falseleafs", {1});
  integers("leaf_targetids", {0});
  numbers("leaf_weights", onnx::TensorProto::FLOAT, 1);
  integers("tree_roots", {0});
  contains(message_of([&] { import_onnx(bytes_of(proto), "m.onnx"); }), "has a tree without end");
  node.mutable_attribute(4)->set_ints(0, 1);
  contains(message_of([&] { import_onnx(bytes_of(proto), "m.onnx"); }), "has a branch to leaf 7, which is not there");
}
