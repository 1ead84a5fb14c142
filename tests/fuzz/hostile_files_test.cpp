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
