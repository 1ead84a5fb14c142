#!/usr/bin/python3
"""torch from Python (see peer.h): T1 to T7, eager with Adam(foreach=True); predictions eager or traced.

    torch_peer.py WORKLOAD MODE BATCH THREADS DIR [jit]
    torch_peer.py onnx WORKLOAD DIR FILE        the network with the weights in DIR, as ONNX
"""
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

SHAPES = {"T1": {"x": (12,)}, "T2": {"x": (784,)}, "T3": {"x": (24, 11)}, "T4": {"x": (12, 5)},
          "T5": {"a": (10,), "b": (24, 5), "c": ()}, "T6": {"x": (1, 28, 28)}, "T7": {"x": (64, 128)}}


def load(directory, name, dtype=np.float32):
    return torch.from_numpy(np.fromfile(directory + "/" + name.replace("/", "."), dtype=dtype))


def dense(directory, name, size_in, size_out):
    layer = nn.Linear(size_in, size_out)
    with torch.no_grad():
        layer.weight.copy_(load(directory, name + "/kernel").reshape(size_in, size_out).t())
        layer.bias.copy_(load(directory, name + "/bias"))
    return layer


def recurrent(directory, kind, name, size_in, units, gates, compared):
    layer = kind(size_in, units, batch_first=True)
    with torch.no_grad():
        bias = load(directory, name + "/bias")
        parts = [load(directory, name + "/kernel").reshape(size_in, gates * units).t(),
                 load(directory, name + "/recurrent_kernel").reshape(units, gates * units).t(),
                 bias.reshape(2, -1)[0] if kind is nn.GRU else bias,
                 bias.reshape(2, -1)[1] if kind is nn.GRU else torch.zeros_like(bias)]
        if kind is nn.GRU:  # Keras z, r, h; torch r, z, n
            parts = [torch.cat([p.chunk(3, 0)[i] for i in (1, 0, 2)], 0) for p in parts]
        for parameter, values in zip((layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0), parts):
            parameter.copy_(values)
    # Keras has one bias; the second would learn as well.
    if kind is not nn.GRU and compared:
        layer.bias_hh_l0.requires_grad_(False)
    return layer


def convolution(directory, name, size_in, size_out):
    layer = nn.Conv2d(size_in, size_out, 3)
    with torch.no_grad():
        layer.weight.copy_(load(directory, name + "/kernel").reshape(3, 3, size_in, size_out).permute(3, 2, 0, 1))
        layer.bias.copy_(load(directory, name + "/bias"))
    return layer


class Block(nn.Module):
    """A Transformer block; its three projections are one product."""

    def __init__(self, directory, number, width=128, heads=4, hidden=512):
        super().__init__()
        name = "multi_head_attention" + number
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        parts = [name + "/" + part for part in ("query", "key", "value")]
        with torch.no_grad():
            self.qkv.weight.copy_(torch.cat([load(directory, p + "/kernel").reshape(width, width).t() for p in parts]))
            self.qkv.bias.copy_(torch.cat([load(directory, p + "/bias") for p in parts]))
            self.out.weight.copy_(load(directory, name + "/attention_output/kernel").reshape(width, width).t())
            self.out.bias.copy_(load(directory, name + "/attention_output/bias"))
        first = 2 * int(number[1:] or 0)
        suffix = lambda i: "_%d" % i if i else ""
        self.widen = dense(directory, "dense" + suffix(first), width, hidden)
        self.narrow = dense(directory, "dense" + suffix(first + 1), hidden, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        with torch.no_grad():
            for i, norm in enumerate(self.norms):
                norm.weight.copy_(load(directory, "layer_normalization%s/gamma" % suffix(first + i)))
                norm.bias.copy_(load(directory, "layer_normalization%s/beta" % suffix(first + i)))

    def forward(self, x):
        _, length, width = x.shape
        q, k, v = self.qkv(x).view(-1, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        a = torch.softmax(q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5, -1) @ v
        x = self.norms[0](x + self.out(a.transpose(1, 2).reshape(-1, length, width)))
        return self.norms[1](x + self.narrow(F.gelu(self.widen(x))))


class Network(nn.Module):
    def __init__(self, workload, directory, rate, compared):
        super().__init__()
        self.workload = workload
        d = directory
        drop = nn.Dropout(rate)
        if workload == "T1":
            self.n = nn.Sequential(dense(d, "dense", 12, 64), nn.ReLU(), drop, dense(d, "dense_1", 64, 32), nn.ReLU(),
                                   dense(d, "dense_2", 32, 1))
        elif workload == "T2":
            self.n = nn.Sequential(dense(d, "dense", 784, 512), nn.ReLU(), drop, dense(d, "dense_1", 512, 512), nn.ReLU(),
                                   nn.Dropout(rate), dense(d, "dense_2", 512, 10))
        elif workload == "T3":
            self.a = recurrent(d, nn.LSTM, "lstm", 11, 64, 4, compared)
            self.b = recurrent(d, nn.LSTM, "lstm_1", 64, 32, 4, compared)
            self.c, self.d = dense(d, "dense", 768, 32), dense(d, "dense_1", 32, 1)
        elif workload == "T4":
            self.a = recurrent(d, nn.RNN, "simple_rnn", 5, 32, 1, compared)
            self.b = recurrent(d, nn.RNN, "simple_rnn_1", 32, 16, 1, compared)
            self.c = dense(d, "dense", 16, 1)
        elif workload == "T5":
            self.g = recurrent(d, nn.GRU, "gru", 5, 32, 3, compared)
            self.e = nn.Embedding(100, 8)
            with torch.no_grad():
                self.e.weight.copy_(load(d, "embedding/embeddings").reshape(100, 8))
            self.d, self.value, self.kind = dense(d, "dense", 50, 64), dense(d, "value", 64, 1), dense(d, "kind", 64, 3)
        elif workload == "T6":
            flat = dense(d, "dense", 1600, 128)
            with torch.no_grad():  # Keras flattens rows, columns, channels; torch channels, rows, columns
                flat.weight.copy_(load(d, "dense/kernel").reshape(5, 5, 64, 128).permute(3, 2, 0, 1).reshape(128, 1600))
            self.n = nn.Sequential(convolution(d, "conv2d", 1, 32), nn.ReLU(), nn.MaxPool2d(2), convolution(d, "conv2d_1", 32, 64),
                                   nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), flat, nn.ReLU(), dense(d, "dense_1", 128, 10))
        elif workload == "T7":
            self.n = nn.Sequential(Block(d, ""), Block(d, "_1"))
            self.d = dense(d, "dense_4", 128, 10)
        else:
            sys.exit("error: torch does T1 to T7")

    def forward(self, *x):
        if self.workload in ("T1", "T2", "T6"):
            return self.n(x[0])
        if self.workload == "T7":
            return self.d(self.n(x[0]).mean(1))
        if self.workload == "T3":
            return self.d(F.relu(self.c(self.b(self.a(x[0])[0])[0].flatten(1))))
        if self.workload == "T4":
            return self.c(self.b(self.a(x[0])[0])[0][:, -1])
        z = F.relu(self.d(torch.cat([x[0], self.g(x[1])[0][:, -1], self.e(x[2])], 1)))
        return self.value(z), self.kind(z)


def inputs_of(workload, directory, batch):
    return tuple(load(directory, name).reshape(batch, *shape) if name != "c" else load(directory, name, np.int32).long()
                 for name, shape in SHAPES[workload].items())


def loss_of(workload, directory, batch):
    classes = {"T2": "dense_2", "T6": "dense_1", "T7": "dense_4"}
    if workload in classes:
        target = load(directory, classes[workload] + "/target", np.int32).long()
        return lambda out: F.cross_entropy(out, target)
    if workload == "T5":
        value, kind = load(directory, "value/target").reshape(batch, 1), load(directory, "kind/target", np.int32).long()
        return lambda out: F.mse_loss(out[0], value) + F.cross_entropy(out[1], kind)
    name = {"T1": "dense_2", "T3": "dense_1", "T4": "dense"}[workload]
    target = load(directory, name + "/target").reshape(batch, 1)
    return lambda out: F.mse_loss(out, target)


def main():
    if sys.argv[1] == "onnx":
        workload, directory, path = sys.argv[2:5]
        network = Network(workload, directory, 0.0, True).eval()
        names = list(SHAPES[workload])
        outputs = ["value", "kind"] if workload == "T5" else ["y"]
        example = tuple(torch.zeros(2, *shape) if name != "c" else torch.zeros(2, dtype=torch.long)
                        for name, shape in SHAPES[workload].items())
        torch.onnx.export(network, example, path, opset_version=13, input_names=names, output_names=outputs,
                          dynamic_axes={k: {0: "batch"} for k in names + outputs})
        return
    workload, mode, batch, threads, directory = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    torch.set_num_threads(threads)
    x, loss = inputs_of(workload, directory, batch), loss_of(workload, directory, batch)

    def trainer(rate, compared):
        network = Network(workload, directory, rate, compared).train()
        adam = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-3, foreach=True)
        steps = 0

        def step():
            nonlocal steps
            steps += 1
            if compared:  # Keras adds epsilon before the bias of the second moment is corrected, torch behind it
                adam.param_groups[0]["eps"] = 1e-7 / (1 - 0.999 ** steps) ** 0.5
            adam.zero_grad(set_to_none=True)
            value = loss(network(*x))
            value.backward()
            adam.step()
            return value
        return step

    if mode == "train":
        step = trainer(0.2, False)

        def check():
            compared = trainer(0.0, True)
            return [compared().item() for _ in range(3)]

        def numbers(loss):
            return [loss.item()]
    else:
        torch.inference_mode(True).__enter__()
        network = Network(workload, directory, 0.0, True).eval()
        if "jit" in sys.argv[6:]:
            network = torch.jit.optimize_for_inference(torch.jit.trace(network, x))
        step = lambda: network(*x)

        def numbers(out):  # as append_sample of peer.h
            flat = [output.flatten() for output in (out if workload == "T5" else [out])]
            return [v for f in flat for v in f[::f.numel() // 1021 + 1].tolist()]

        def check():
            return numbers(network(*x))

    print("ready", flush=True)
    one = last = None
    for line in sys.stdin:
        if line.strip() == "check":
            print("check", *["%.9g" % v for v in check()], flush=True)
            continue
        if line.strip() == "result":
            print("result", *["%.9g" % v for v in numbers(last)], flush=True)
            continue
        if one is None:
            for _ in range(5):
                step()
            begin = time.perf_counter()
            step()
            one = time.perf_counter() - begin
        steps = max(1, int(float(line.split()[1]) / one))
        for _ in range(min(steps, 3)):
            step()
        begin = time.perf_counter()
        for _ in range(steps):
            last = step()
        one = (time.perf_counter() - begin) / steps
        print("run %.4f" % (one * 1e6), flush=True)


main()
