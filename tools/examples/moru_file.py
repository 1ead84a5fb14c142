#!/usr/bin/env python3
"""Reads and writes .moru files from Python: an example of schema/README.md, and enough for small tools.

    flatc --python -o generated schema/model.fbs
    PYTHONPATH=generated python3 tools/examples/moru_file.py show M.moru
    PYTHONPATH=generated python3 tools/examples/moru_file.py weights M.moru W.npz
    PYTHONPATH=generated python3 tools/examples/moru_file.py set-weights M.moru W.npz OUT.moru
    PYTHONPATH=generated python3 tools/examples/moru_file.py section M.moru model model.bin
    PYTHONPATH=generated python3 tools/examples/moru_file.py set-section M.moru model model.bin OUT.moru

Needs numpy, flatbuffers, and libxxhash (or the module xxhash) for the checksums.
"""
import ctypes
import ctypes.util
import os
import struct
import sys

import numpy as np

KINDS = {"model": 1, "program": 2, "recipe": 3, "weights": 4, "code": 5, "training": 6}
ELEMENT_TYPES = ["<f4", "<f8", "<i4", "<i8", "?"]  # DType of schema/types.h


def checksum(data):
    """XXH3 with 64 bits and seed 0."""
    try:
        import xxhash
        return xxhash.xxh3_64_intdigest(bytes(data))
    except ImportError:
        library = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
        library.XXH3_64bits.restype = ctypes.c_uint64
        library.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
        return library.XXH3_64bits(bytes(data), len(data))


def round_up(size):
    return (size + 63) // 64 * 64


def read_sections(path):
    """The sections of a file by kind, in the order of the file."""
    with open(path, "rb") as file:
        data = file.read()
    magic, version, count, _, size, want = struct.unpack_from("<4sIIIQQ", data)
    if magic != b"MORU" or version != 1 or size != len(data) or count > 64:
        raise ValueError(path + " is no .moru file of format 1, or it is cut short")
    head = bytearray(data[:64 + 32 * count])
    head[24:32] = bytes(8)
    if checksum(head) != want:
        raise ValueError(path + " is damaged: its header")
    sections = {}
    for i in range(count):
        kind, _, offset, length, want = struct.unpack_from("<IIQQQ", data, 64 + 32 * i)
        sections[kind] = data[offset:offset + length]
        if checksum(sections[kind]) != want:
            raise ValueError("%s is damaged: its section %d" % (path, kind))
    return sections


def write_sections(path, sections):
    """A file of these sections; it appears whole or not at all."""
    table, body, offset = b"", b"", round_up(64 + 32 * len(sections))
    for kind, data in sections.items():
        table += struct.pack("<IIQQQ", kind, 0, offset + len(body), len(data), checksum(data))
        body += data + bytes(round_up(len(data)) - len(data))
    header = struct.pack("<4sIIIQQ", b"MORU", 1, len(sections), 0, offset + len(body), 0) + bytes(32)
    header = bytearray(header)
    header[24:32] = struct.pack("<Q", checksum(bytes(header) + table))
    with open(path + ".tmp", "wb") as file:
        file.write(bytes(header) + table + bytes(offset - 64 - len(table)) + body)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".tmp", path)


def read_model(sections):
    from moru.schema.Model import Model
    return Model.GetRootAs(sections[KINDS["model"]], 0)


def text(value):
    return value.decode() if value is not None else ""


def parameters(model, prefix=""):
    """(path, ModelParameter) of every weight, nested models included: "encoder/e0/kernel"."""
    for i in range(model.LayersLength()):
        layer = model.Layers(i)
        path = prefix + text(layer.Name()) + "/"
        for k in range(layer.ParametersLength()):
            yield path + text(layer.Parameters(k).Name()), layer.Parameters(k)
        if layer.Submodel() is not None:
            inner = path + "layer/" if text(layer.ClassName()) == "TimeDistributed" else path
            yield from parameters(layer.Submodel(), inner)


def shape_of(parameter):
    return tuple(parameter.Shape(i) for i in range(parameter.ShapeLength()))


def read_weights(sections):
    """Every weight that has values, by its path."""
    stored = sections[KINDS["weights"]]
    weights = {}
    for path, parameter in parameters(read_model(sections)):
        if parameter.HasData():
            begin = parameter.DataOffset()
            data = stored[begin:begin + parameter.DataBytes()]
            weights[path] = np.frombuffer(data, ELEMENT_TYPES[parameter.Dtype()]).reshape(shape_of(parameter))
    return weights


def set_weights(sections, values):
    """The sections with other values for some weights: nothing else has to be understood."""
    stored = bytearray(sections[KINDS["weights"]])
    known = dict(parameters(read_model(sections)))
    for path, value in values.items():
        parameter = known[path]
        if not parameter.HasData() or value.shape != shape_of(parameter):
            raise ValueError("'%s' is %s in the file but %s here" % (path, shape_of(parameter), value.shape))
        data = np.ascontiguousarray(value, ELEMENT_TYPES[parameter.Dtype()]).tobytes()
        stored[parameter.DataOffset():parameter.DataOffset() + len(data)] = data
    return {**sections, KINDS["weights"]: bytes(stored)}


def show(model, indent=""):
    names = [text(model.Layers(i).Name()) for i in range(model.LayersLength())]
    print(indent + text(model.Name()))
    for i in range(model.NodesLength()):
        node = model.Nodes(i)
        layer = model.Layers(node.Layer())
        inputs = [text(model.Nodes(node.Inputs(k).Node()).Name()) for k in range(node.InputsLength())]
        print("%s  %s = %s(%s)" % (indent, text(node.Name()), text(layer.ClassName()), ", ".join(inputs)))
        if layer.Submodel() is not None and names.index(text(layer.Name())) == node.Layer():
            show(layer.Submodel(), indent + "    ")
    print("%s  -> %s" % (indent, ", ".join(text(model.OutputNames(i)) for i in range(model.OutputNamesLength()))))


def main(arguments):
    if not arguments:
        sys.exit(__doc__)
    command, path, rest = arguments[0], arguments[1], arguments[2:]
    sections = read_sections(path)
    if command == "show":
        show(read_model(sections))
        for name, value in read_weights(sections).items():
            print("  %-40s %-8s %s" % (name, value.dtype, list(value.shape)))
    elif command == "weights":
        np.savez(rest[0], **read_weights(sections))
    elif command == "set-weights":
        with np.load(rest[0]) as values:
            write_sections(rest[1], set_weights(sections, dict(values)))
    elif command == "section":
        with open(rest[1], "wb") as file:
            file.write(sections[KINDS[rest[0]]])
    elif command == "set-section":
        with open(rest[1], "rb") as file:
            write_sections(rest[2], {**sections, KINDS[rest[0]]: file.read()})
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
