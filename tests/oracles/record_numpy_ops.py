#!/usr/bin/env python3
"""Records what numpy makes of the operations of keras.ops that are nodes of functional models, into numpy_ops.json.

Run by hand: /usr/bin/python3 tests/oracles/record_numpy_ops.py. tests/exchange/keras_ops_test.cpp reads the file.

A case is an operation by its class in Keras, the arguments that it was made with (config), those of its call with tensors
as {"tensor": number}, the tensors, and the results.
"""
import json
import os

import numpy as np

random = np.random.default_rng(20261129)
cases = []
T = [{"tensor": i} for i in range(3)]


def draw(*shape, low=-2.0, high=2.0):
    return np.round((low + (high - low) * random.random(shape)) * 64) / 64


def whole(*shape, low=-5, high=6):
    return random.integers(low, high, shape).astype(np.int32)


def bits(*shape):
    return random.random(shape) < 0.5


def tensor(x):
    x = np.asarray(x)
    dtype = "bool" if x.dtype == bool else "int32" if x.dtype.kind in "iu" else "float32"
    return {"shape": list(x.shape), "dtype": dtype,
            "values": [v if isinstance(v, str) else float(v) if dtype == "float32" else int(v) for v in x.reshape(-1).tolist()]}


def case(name, inputs, outputs, args=None, kwargs=None, **config):
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    cases.append({"class_name": name, "config": config, "args": T[:len(inputs)] if args is None else args,
                  "kwargs": kwargs or {}, "inputs": [tensor(x) for x in inputs], "outputs": [tensor(y) for y in outputs]})


def slice_of(start=None, stop=None, step=None):
    return {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}


dots = {"class_name": "__ellipsis__", "config": {}}
x, y, p, n, m = draw(2, 3, 4), draw(2, 3, 4), draw(2, 3, 4, low=0.1), whole(2, 3), whole(2, 3, low=1)
unit = draw(2, 3, low=-0.9, high=0.9)

# ---- element by element ----
for name, function in {"Ceil": np.ceil, "Cos": np.cos, "Exp": np.exp, "Expm1": np.expm1, "Floor": np.floor, "Sin": np.sin,
                       "Tanh": np.tanh, "Arctan": np.arctan, "Absolute": np.abs, "Negative": np.negative, "Sign": np.sign,
                       "Square": np.square, "Exp2": np.exp2, "Sinh": np.sinh, "Cosh": np.cosh, "Arcsinh": np.arcsinh,
                       "Deg2rad": np.deg2rad, "Trunc": np.trunc, "Isfinite": np.isfinite}.items():
    case(name, [x], function(x))
for name, function in {"Log": np.log, "Log1p": np.log1p, "Sqrt": np.sqrt, "Reciprocal": np.reciprocal, "Log2": np.log2,
                       "Log10": np.log10, "Rsqrt": lambda v: 1 / np.sqrt(v)}.items():
    case(name, [p], function(p))
for name, function in {"Arcsin": np.arcsin, "Arccos": np.arccos, "Arctanh": np.arctanh, "Tan": np.tan}.items():
    case(name, [unit], function(unit))
case("Arccosh", [p + 1], np.arccosh(p + 1))
case("Round", [x], np.round(x, 1), decimals=1)
case("Negative", [n], -n)
case("Exp", [n], np.exp(n.astype(np.float32)))
for name, function in {"Add": np.add, "Subtract": np.subtract, "Multiply": np.multiply, "Maximum": np.maximum,
                       "Minimum": np.minimum, "Logaddexp": np.logaddexp, "Hypot": np.hypot, "TrueDivide": np.divide}.items():
    case(name, [x, p], function(x, p))
case("Add", [x], x + 1.5, args=[T[0], 1.5])
case("Subtract", [x], 1 - x, args=[1, T[0]])
case("Multiply", [n], n * 2, args=[T[0], 2])
case("Multiply", [n], n * np.float32(2.5), args=[T[0], 2.5])
case("Add", [n, unit], n + unit)
case("Add", [x], x + np.array([1.0, 2.0, 2.0, -1.0]), args=[T[0], [1.0, 2.0, 2.0, -1.0]])
case("Add", [x], x + np.array([[1.0], [2.0], [3.0]]),
     args=[T[0], {"class_name": "__numpy__", "config": {"value": [[1.0], [2.0], [3.0]], "dtype": "float32"}}])
case("Divide", [n, m], n / m)
case("Divide", [x], x / 4, args=[T[0], 4])
case("DivideNoNan", [x, np.where(y > 0, y, 0)], np.where(y > 0, x / np.where(y > 0, y, 1), 0))
case("Power", [x], x ** 2, args=[T[0], 2])
case("Power", [p], p ** 1.5, args=[T[0], 1.5])
case("Mod", [n, m], np.mod(n, m))
case("Mod", [n, -m], np.mod(n, -m))
case("FloorDivide", [n, m], n // m)
case("Mod", [x, p], np.mod(x, p))
for name, function in {"Equal": np.equal, "NotEqual": np.not_equal, "Less": np.less, "LessEqual": np.less_equal,
                       "Greater": np.greater, "GreaterEqual": np.greater_equal}.items():
    case(name, [n, m], function(n, m))
case("NotEqual", [x], x != 0, args=[T[0], 0.0])
case("Greater", [n], n > 0.5, args=[T[0], 0.5])
a, b = bits(2, 5), bits(2, 5)
for name, function in {"LogicalAnd": np.logical_and, "LogicalOr": np.logical_or, "LogicalXor": np.logical_xor}.items():
    case(name, [a, b], function(a, b))
case("LogicalNot", [a], ~a)
c = bits(2, 3, 1)
case("Where", [c, x, y], np.where(c, x, y))
case("Where", [c, x], np.where(c, x, 0), args=[T[0], T[1], 0])
case("Clip", [x], np.clip(x, -1, 0.5), x_min=-1.0, x_max=0.5)
case("Cast", [x], x.astype(np.int32), dtype="int32")
case("Cast", [a], a.astype(np.float32), dtype="float32")
case("ZerosLike", [x], np.zeros_like(x))
case("OnesLike", [n], np.ones_like(n))
case("Copy", [x], x)
case("StopGradient", [x], x)

# ---- activations ----
sigmoid = lambda v: 1 / (1 + np.exp(-v))
case("Relu", [x], np.maximum(x, 0))
case("ReLU", [x], np.where(x > 0.5, np.minimum(x, 1.5), 0.25 * (x - 0.5)), negative_slope=0.25, max_value=1.5, threshold=0.5)
case("Sigmoid", [x], sigmoid(x))
case("Silu", [x], x * sigmoid(x))
case("LeakyRelu", [x], np.where(x > 0, x, 0.1 * x), negative_slope=0.1)
case("Gelu", [x], 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3))))
case("HardSigmoid", [x], np.clip(x / 6 + 0.5, 0, 1))
case("Threshold", [x], np.where(x > 0.5, x, -1), threshold=0.5, default_value=-1.0)
exps = lambda v, axis: np.exp(v) / np.exp(v).sum(axis, keepdims=True)
case("Softmax", [x], exps(x, -1), axis=-1)
case("Softmax", [x], exps(x, (1, 2)), axis=[1, 2])
case("LogSoftmax", [x], np.log(exps(x, 1)), axis=1)

# ---- reductions ----
for name, function in {"Sum": np.sum, "Mean": np.mean, "Max": np.max, "Min": np.min, "Amax": np.max, "Var": np.var,
                       "Std": np.std, "Prod": np.prod}.items():
    case(name, [x], function(x, axis=-1), axis=[-1], keepdims=False)
    case(name, [x], function(x, axis=(1, 2), keepdims=True), axis=[1, 2], keepdims=True)
case("Sum", [n], n.sum(1), axis=1, keepdims=False)
case("Mean", [n], n.mean(1), axis=1, keepdims=False)
case("Sum", [a], a.sum(1), axis=1)
case("Any", [a], a.any(1), axis=-1, keepdims=False)
case("All", [a], a.all(1, keepdims=True), axis=-1, keepdims=True)
case("CountNonzero", [n], np.count_nonzero(n, 1), axis=1)
case("Logsumexp", [x], np.log(np.exp(x).sum(1)), axis=1, keepdims=False)
case("Moments", [x], [x.mean(1), x.var(1)], axes=[1])
case("Cumsum", [x], x.cumsum(1), axis=1)
case("Cumprod", [x], x.cumprod(2), axis=-1)
case("Argmax", [x], x.argmax(1), axis=1, keepdims=False)
case("Argmin", [x], x.argmin(2)[..., None], axis=-1, keepdims=True)
case("Norm", [x], np.linalg.norm(x, axis=-1), axis=-1)
case("Norm", [x], np.abs(x).sum(1, keepdims=True), ord=1, axis=1, keepdims=True)
case("Normalize", [x], x / np.linalg.norm(x, axis=1, keepdims=True), axis=1, order=2)
case("LayerNorm", [x], (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.001), axis=-1, epsilon=0.001)

# ---- shapes ----
case("ExpandDims", [x], x[:, None], axis=1)
case("ExpandDims", [x], x[..., None, None], axis=[-1, -2])
case("Squeeze", [x[:, :1]], x[:, 0], axis=1)
case("Squeeze", [x[:, :1, :1]], x[:, 0, 0])
case("Reshape", [x], x.reshape(2, 12), newshape=[-1, 12])
case("Reshape", [x], x.reshape(2, 2, 6), newshape=[None, 2, -1])
case("Transpose", [x], x.transpose(0, 2, 1), axes=[0, 2, 1])
case("Swapaxes", [x], x.swapaxes(1, 2), axis1=1, axis2=-1)
w = draw(2, 3, 4, 5)
case("Moveaxis", [w], np.moveaxis(w, 1, -1), source=1, destination=-1)
case("Moveaxis", [w], np.moveaxis(w, [3, 1], [1, 2]), source=[3, 1], destination=[1, 2])
case("Concatenate", [x, y], np.concatenate([x, y], 1), args=[[T[0], T[1]]], axis=1)
case("Stack", [x, y], np.stack([x, y], 1), args=[[T[0], T[1]]], axis=1)
case("Split", [x], np.split(x, 2, 2), indices_or_sections=2, axis=-1)
case("Split", [x], np.split(x, [1, 3], 2), indices_or_sections=[1, 3], axis=2)
case("Unstack", [x], [x[:, 0], x[:, 1], x[:, 2]], axis=1)
case("Repeat", [x], np.repeat(x, 3, 1), repeats=3, axis=1)
case("Tile", [x], np.tile(x, (1, 2, 3)), repeats=[1, 2, 3])
case("Flip", [x], np.flip(x, 1), axis=1)
case("Roll", [x], np.roll(x, 2, 2), shift=2, axis=2)
case("Roll", [x], np.roll(x, -1, 1), shift=-1, axis=1)
case("Pad", [x], np.pad(x, ((0, 0), (1, 2), (0, 1)), constant_values=0.5), pad_width=[[0, 0], [1, 2], [0, 1]],
     kwargs={"constant_values": 0.5})
case("Tril", [w], np.tril(w), k=0)
case("Triu", [w], np.triu(w, 1), k=1)

# ---- indexing ----
for key, index in [([slice_of(), 0], np.s_[:, 0]), ([slice_of(), -1], np.s_[:, -1]), ([slice_of(), slice_of(1)], np.s_[:, 1:]),
                   ([slice_of(), slice_of(None, -1), slice_of(None, None, 2)], np.s_[:, :-1, ::2]),
                   ([dots, 1], np.s_[..., 1]), ([dots, None], np.s_[..., None]), ([slice_of(), None, dots, slice_of(1, 3)], np.s_[:, None, ..., 1:3]),
                   ([slice_of(), slice_of(None, None, -1)], np.s_[:, ::-1]),
                   ([slice_of(), slice_of(), slice_of(3, 0, -2)], np.s_[:, :, 3:0:-2])]:
    case("GetItem", [x], x[index], args=[T[0], key])
case("Take", [x], x.take(2, 1), args=[T[0], 2], axis=1)
case("Take", [x], x.take([0, -1], 2), args=[T[0], [0, -1]], axis=-1)
case("OneHot", [m], np.eye(6)[m], num_classes=6, axis=-1, dtype="float32")
case("OneHot", [m], np.moveaxis(np.eye(6)[m], -1, 1), num_classes=6, axis=1, dtype="float32")

# ---- products ----
z = draw(2, 4, 5)
case("Matmul", [x, z], x @ z)
v = draw(2, 1, 5, 2)
case("Matmul", [w, v], w @ v)
case("Einsum", [x, y], np.einsum("bij,bkj->bik", x, y), subscripts="bij,bkj->bik")
case("Einsum", [x, y], np.einsum("...i,...i->...", x, y), subscripts="...i,...i->...")
case("Einsum", [x], np.einsum("bij->bji", x), subscripts="bij->bji")
case("Einsum", [w], np.einsum("b...j->b...", w), subscripts="b...j->b...")
case("Einsum", [x, y, z], np.einsum("bij,bkj,bjl->bikl", x, y, z), subscripts="bij,bkj,bjl->bikl")

# ---- pooling ----
image = draw(2, 4, 6, 3)
blocks = image.reshape(2, 2, 2, 3, 2, 3)
case("MaxPool", [image], blocks.max((2, 4)), pool_size=2, strides=None, padding="valid", data_format="channels_last")
case("AveragePool", [image], blocks.mean((2, 4)), pool_size=[2, 2], padding="valid")

# ---- order, diagonals, choices ----
ties = whole(2, 3, 5, low=-2, high=3)
case("Sort", [x], np.sort(x, 1), axis=1)
case("Sort", [ties], np.sort(ties, -1), axis=-1)
case("Argsort", [x], np.argsort(x, -1).astype(np.int32), axis=-1)
case("Argsort", [ties], np.argsort(ties, 1, kind="stable").astype(np.int32), axis=1)
order = np.argsort(-x, -1, kind="stable")[..., :2]
case("TopK", [x], [np.take_along_axis(x, order, -1), order.astype(np.int32)], k=2, sorted=True)
case("Median", [x], np.median(x, 1), axis=1, keepdims=False)
case("Median", [x], np.median(x, (1, 2), keepdims=True), axis=[1, 2], keepdims=True)
chosen = whole(2, 2, 4, low=-3, high=3)
case("TakeAlongAxis", [x, chosen], np.take_along_axis(x, chosen, 1), axis=1)
case("TakeAlongAxis", [x, chosen[:, :, :1]], np.take_along_axis(x, chosen[:, :, :1], 1), axis=1)
case("Slice", [x], x[0:2, 1:3, 0:3], args=[T[0], [0, 1, 0]], shape=[2, 2, 3])
case("Diagonal", [w], np.diagonal(w, 1, 1, 3), offset=1, axis1=1, axis2=3)
case("Diagonal", [w], np.diagonal(w, -1, 3, 1), offset=-1, axis1=3, axis2=1)
case("Trace", [w], np.trace(w, 0, 1, 2), offset=0, axis1=1, axis2=2)
case("Diff", [x], np.diff(x, 2, -1), n=2, axis=-1)
case("Hstack", [x, y], np.hstack([x, y]), args=[[T[0], T[1]]])
case("Repeat", [x], np.repeat(x, [1, 0, 2], 1), repeats=[1, 0, 2], axis=1)
case("Select", [x > 1, x > 0, x, y], np.select([x > 1, x > 0], [x, y], 0.5),
     args=[[T[0], T[1]], [T[2], {"tensor": 3}], 0.5])
case("NanToNum", [x], np.nan_to_num(x), nan=0.0, posinf=None, neginf=None)
case("Arctan2", [x, y], np.arctan2(x, y))
case("Cbrt", [x], np.cbrt(x))
case("Sinc", [x], np.sinc(x))
case("Outer", [x, y], np.outer(x, y))
case("Pad", [x], np.pad(x, [[0, 0], [1, 2], [0, 1]], mode="reflect"), pad_width=[[0, 0], [1, 2], [0, 1]], mode="reflect")
case("Pad", [x], np.pad(x, [[0, 0], [1, 2], [0, 1]], mode="symmetric"), pad_width=[[0, 0], [1, 2], [0, 1]], mode="symmetric")
square = draw(2, 4, 4)
case("Einsum", [square], np.einsum("bii->bi", square), subscripts="bii->bi")
case("Einsum", [square], np.einsum("bii->b", square), subscripts="bii->b")
case("Einsum", [x, square], np.einsum("bij,bjk", x, square), subscripts="bij,bjk")
case("Einsum", [x, square], np.einsum("...iZ,...Zk->...ik", x, square), subscripts="...iZ,...Zk->...ik")
normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-7)
case("LayerNorm", [x], normal, axis=-1, epsilon=None, rms_scaling=False)
case("RMSNorm", [x], x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-7), axis=-1, epsilon=None)

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "numpy_ops.json")
with open(path, "w") as out:
    out.write('{"producer": "numpy %s", "cases": [\n' % np.__version__)
    out.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases))
    out.write("\n]}\n")
print(len(cases), "cases,", os.path.getsize(path), "bytes")
