#!/usr/bin/python3
"""Copies the recorded cases into one folder of seeds per reader: make_corpus.py SHARED CORPUS

SHARED is the folder that holds oracles/; of it every .onnx, .keras, .h5 and .json of at most 256 KiB becomes a seed of
the readers that it concerns: CORPUS/onnx, keras, keras_json, keras_parts, hdf5, zip, moru. Needs h5py and numpy.
"""
import hashlib
import io
import pathlib
import sys
import zipfile

import h5py
import numpy

LARGEST = 1 << 18


class PartsWriter:
    """The bytes that `fuzz_keras_parts` reads: see PartsReader in importers.cpp."""

    def __init__(self):
        self.bytes = bytearray()

    def number(self, value, width):
        self.bytes += value.to_bytes(width, "little")

    def text(self, value, width):
        value = value if isinstance(value, bytes) else str(value).encode()
        self.number(len(value), width)
        self.bytes += value

    def tree(self, group):
        texts = {name: [v for v in numpy.atleast_1d(value).ravel() if isinstance(v, (str, bytes))]
                 for name, value in group.attrs.items()}
        self.number(len(texts), 1)
        for name, values in texts.items():
            self.text(name, 1)
            self.number(len(values), 1)
            for value in values:
                self.text(value, 2)
        datasets = {name: item for name, item in group.items() if isinstance(item, h5py.Dataset)}
        self.number(len(datasets), 1)
        for name, dataset in datasets.items():
            self.text(name, 1)
            self.number(2 * dataset.ndim + (dataset.dtype.kind in "iu"), 1)
            for extent in dataset.shape:
                self.number(extent, 2)
        groups = {name: item for name, item in group.items() if isinstance(item, h5py.Group)}
        self.number(len(groups), 1)
        for name, inner in groups.items():
            self.text(name, 1)
            self.tree(inner)


def parts_of(content):
    """None where a count or a length does not fit its bytes."""
    writer = PartsWriter()
    try:
        if content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                writer.number(0, 1)
                writer.text(archive.read("config.json"), 2)
                content = archive.read("model.weights.h5")
        else:
            writer.number(1, 1)
        with h5py.File(io.BytesIO(content)) as file:
            writer.tree(file)
    except (OverflowError, KeyError):
        return None
    return bytes(writer.bytes)


def main(shared, corpus):
    def add(reader, content):
        if content is None or len(content) > LARGEST:
            return
        folder = corpus / reader
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha1(content).hexdigest()).write_bytes(content)

    for path in sorted((shared / "oracles").rglob("*")):
        if not path.is_file() or path.suffix not in (".onnx", ".keras", ".h5", ".json", ".moru"):
            continue
        content = path.read_bytes()
        if path.suffix == ".onnx":
            add("onnx", content)
        elif path.suffix == ".json":
            add("keras_json", content)
        elif path.suffix == ".moru":
            add("moru", content)
        else:
            add("keras", content)
            add("keras_parts", parts_of(content))
            add("zip" if content.startswith(b"PK") else "hdf5", content)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
