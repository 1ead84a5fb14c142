"""Keras' files as h5py sees them: h5py_layout.py MORU.

What Moru writes must have the groups, attributes and datasets that Keras looks for; what h5py writes in the ways that are
open to it (fixed or variable texts, other widths of numbers, chunks, compression, a compact layout) Moru must read back
with the same values. Exits 77 (skipped) where h5py is not there.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile

try:
    import h5py
    import numpy as np
except ImportError:
    print("SKIPPED: h5py; install python3-h5py to have the layout of Keras' files checked by it")
    sys.exit(77)

MODEL = {
    "module": "keras", "class_name": "Sequential", "registered_name": None,
    "config": {"name": "small", "layers": [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 5, 3], "dtype": "float32", "name": "x"}},
        {"class_name": "LSTM", "config": {"name": "memory", "units": 4}},
        {"class_name": "BatchNormalization", "config": {"name": "norm"}},
        {"class_name": "Dense", "config": {"name": "out", "units": 2}},
    ]},
}
# Weights by their names, and by their places in a .keras.
WEIGHTS = [
    ("memory/kernel", "layers/lstm/cell/vars/0", (3, 16)),
    ("memory/recurrent_kernel", "layers/lstm/cell/vars/1", (4, 16)),
    ("memory/bias", "layers/lstm/cell/vars/2", (16,)),
    ("norm/gamma", "layers/batch_normalization/vars/0", (4,)),
    ("norm/beta", "layers/batch_normalization/vars/1", (4,)),
    ("norm/moving_mean", "layers/batch_normalization/vars/2", (4,)),
    ("norm/moving_variance", "layers/batch_normalization/vars/3", (4,)),
    ("out/kernel", "layers/dense/vars/0", (4, 2)),
    ("out/bias", "layers/dense/vars/1", (2,)),
]


def keras_path(name):
    """The path of a weight in an .h5."""
    return name.replace("memory/", "memory/lstm_cell/")


moru = os.path.abspath(sys.argv[1])
os.chdir(tempfile.mkdtemp(prefix="moru-h5py-"))


def convert(source, target):
    done = subprocess.run([moru, "convert", source, target], capture_output=True, text=True)
    assert done.returncode == 0, f"convert {source} {target}: {done.stderr}"


def check_weight(name, dataset, shape, wanted):
    assert dataset.dtype == np.dtype("<f4"), f"{name} is {dataset.dtype}"
    assert dataset.shape == shape, f"{name} is {dataset.shape}"
    assert np.array_equal(dataset[()], wanted), f"{name} has other values"


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


with open("model.json", "w") as file:
    json.dump(MODEL, file)
convert("model.json", "model.moru")
for ending in ("npz", "h5", "keras", "weights.h5"):
    convert("model.moru", "model." + ending)
values = np.load("model.npz")
assert sorted(values.files) == sorted(name for name, _, _ in WEIGHTS), values.files
assert any(np.any(values[name]) for name in values.files)

# What Moru wrote.
with h5py.File("model.h5") as file:
    config = json.loads(text(file.attrs["model_config"]))
    assert [layer["config"]["name"] for layer in config["config"]["layers"]][-3:] == ["memory", "norm", "out"]
    assert isinstance(file.attrs["keras_version"], str) and isinstance(file.attrs["backend"], str)
    weights = file["model_weights"]
    assert [text(name) for name in weights.attrs["layer_names"]] == ["memory", "norm", "out"]
    listed = []
    for layer in ("memory", "norm", "out"):
        listed += [(layer, text(name)) for name in weights[layer].attrs["weight_names"]]
    for (layer, path), (name, _, shape) in zip(listed, WEIGHTS, strict=True):
        assert path == keras_path(name), f"{path} stands for {name}"
        check_weight(path, weights[layer][path], shape, values[name])
with zipfile.ZipFile("model.keras") as archive:
    assert archive.testzip() is None
    assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
    assert json.loads(archive.read("config.json"))["class_name"] == "Sequential"
    inner = archive.read("model.weights.h5")
with open("model.weights.h5", "rb") as file:
    for content in (inner, file.read()):
        with h5py.File(io.BytesIO(content)) as weights:
            for name, path, shape in WEIGHTS:
                check_weight(path, weights[path], shape, values[name])
            assert text(weights["layers/dense/vars"].attrs["name"]) == "out"

# What h5py writes.
fixed = {"dtype": h5py.string_dtype(length=40)}
WAYS = {
    "contiguous": ({}, "<f4", fixed),
    "big_endian": ({}, ">f4", fixed),
    "double": ({}, "<f8", {"dtype": h5py.string_dtype()}),
    "chunked": ({"chunks": True}, "<f4", fixed),
    "compressed": ({"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True}, "<f4", fixed),
}


def write_again(source, target, options, dtype, texts):
    """The same tree by h5py's own hand."""
    for key, value in source.attrs.items():
        if isinstance(value, np.ndarray) and value.size:
            target.attrs.create(key, [text(one) for one in value], **texts)
        else:
            target.attrs[key] = value
    for key, item in source.items():
        if isinstance(item, h5py.Group):
            write_again(item, target.create_group(key), options, dtype, texts)
        else:
            target.create_dataset(key, data=item[()].astype(dtype), **options)


for way, (options, dtype, texts) in WAYS.items():
    path = way + ".h5"
    with h5py.File("model.h5") as source, h5py.File(path, "w") as target:
        write_again(source, target, options, dtype, texts)
    convert(path, way + ".npz")
    again = np.load(way + ".npz")
    for name in values.files:
        assert np.array_equal(again[name], values[name]), f"{way}: {name} has other values"

    content = io.BytesIO()
    with h5py.File(io.BytesIO(inner)) as source, h5py.File(content, "w") as target:
        write_again(source, target, options, dtype, {"dtype": h5py.string_dtype()})
    for method, offset in ((zipfile.ZIP_STORED, 0), (zipfile.ZIP_STORED, 1), (zipfile.ZIP_DEFLATED, 0)):
        path = f"{way}{method}{offset}.keras"
        with zipfile.ZipFile("model.keras") as old, zipfile.ZipFile(path, "w", method) as new:
            new.writestr("metadata.json", old.read("metadata.json") + b" " * offset)
            new.writestr("config.json", old.read("config.json"))
            new.writestr("model.weights.h5", content.getvalue())
        convert(path, "again.npz")
        again = np.load("again.npz")
        for name in values.files:
            assert np.array_equal(again[name], values[name]), f"{path}: {name} has other values"

# A byte that changed on the way is noticed.
with open("contiguous00.keras", "rb") as file:
    damaged = bytearray(file.read())
place = damaged.find(values["out/kernel"].astype("<f4").tobytes())
assert place > 0
damaged[place] ^= 1
with open("damaged.keras", "wb") as file:
    file.write(damaged)
done = subprocess.run([moru, "convert", "damaged.keras", "damaged.npz"], capture_output=True, text=True)
assert done.returncode == 1 and "its checksum is wrong" in done.stderr, done.stderr
print(f"h5py {h5py.__version__}: {len(WEIGHTS)} weights in 3 files of Moru's, {4 * len(WAYS)} of its own")
