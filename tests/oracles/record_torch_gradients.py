#!/usr/bin/env python3
"""Records values and gradients of layers and losses from PyTorch in double precision, into torch_gradients.json.

Run by hand with Debian's python3-torch: /usr/bin/python3 tests/oracles/record_torch_gradients.py
The recorded file is what tests/oracles/torch_gradients_test.cpp reads; PyTorch is not needed there.

A case is an op of Moru by name, its attributes as Moru writes them, its inputs in order (null where one is left out), and
what PyTorch makes of it: the outputs, and the gradients of  sum(output * weight)  for weights that differ from element to
element. Inputs are multiples of 1/64, so that they are exact in every precision and short in the file.
"""
import json
import os

import torch
import torch.nn.functional as F

torch.manual_seed(20260821)
torch.set_default_dtype(torch.float64)
cases = []


def draw(*shape, low=-1.0, high=1.0):
    x = low + (high - low) * torch.rand(shape)
    return torch.round(x * 64) / 64


def indices(*shape, high):
    return torch.randint(0, high, shape)


def numbers(x):
    return [int(v) if v == int(v) else v for v in x.detach().reshape(-1).tolist()]


def tensor(x):
    if x is None:
        return None
    return {"shape": list(x.shape), "dtype": "f64" if x.dtype.is_floating_point else "i32", "values": numbers(x)}


def case(name, op, attributes, inputs, function):
    """function takes the inputs and returns the first output of the op."""
    leaves = [x.clone().requires_grad_() if x is not None and x.dtype.is_floating_point else x for x in inputs]
    output = function(*[x for x in leaves if x is not None])
    weight = draw(*output.shape, low=0.25, high=1.75)
    (output * weight).sum().backward()
    gradients = []
    for x in leaves:
        if x is None or not x.dtype.is_floating_point:
            gradients.append(None)
        else:
            gradients.append(numbers(x.grad if x.grad is not None else torch.zeros_like(x)))
    cases.append({"name": name, "op": op, "attributes": attributes, "inputs": [tensor(x) for x in inputs],
                  "output": tensor(output), "weight": numbers(weight), "gradients": gradients})


# ---- activations ----

x = draw(3, 7, low=-4, high=4)
for name, function in {
    "relu": F.relu, "relu6": F.relu6, "elu": F.elu, "selu": F.selu, "silu": F.silu, "softplus": F.softplus,
    "softsign": F.softsign, "mish": F.mish, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "exponential": torch.exp,
    "log_softmax": lambda v: F.log_softmax(v, -1), "softmax": lambda v: F.softmax(v, -1), "erf": torch.erf,
    "log1p": torch.log1p, "celu": F.celu, "hard_sigmoid": lambda x: torch.clamp(x / 6 + 0.5, 0, 1), "hard_silu": F.hardswish, "hard_tanh": F.hardtanh,
    "log_sigmoid": F.logsigmoid, "tanh_shrink": F.tanhshrink, "hard_shrink": F.hardshrink, "soft_shrink": F.softshrink,
}.items():
    case(name, name, "{}", [draw(3, 7, low=0.1, high=4) if name == "log1p" else x], function)
case("gelu exact", "gelu", "{approximate=false}", [x], lambda v: F.gelu(v))
case("gelu tanh", "gelu", "{approximate=true}", [x], lambda v: F.gelu(v, approximate="tanh"))
case("leaky relu", "leaky_relu", "{negative_slope=0.2}", [x], lambda v: F.leaky_relu(v, 0.2))
case("celu, alpha", "celu", "{alpha=0.5}", [x], lambda v: F.celu(v, 0.5))
case("relu, bounded", "relu", "{max_value=1.5}", [x], lambda v: F.hardtanh(v, 0.0, 1.5))
case("threshold", "threshold", "{threshold=0.5, default_value=-2.0}", [x], lambda v: F.threshold(v, 0.5, -2.0))
case("glu", "glu", "{axis=1}", [draw(2, 4, 3)], lambda v: F.glu(v, 1))
case("prelu", "prelu", "{shared_axes=(1)}", [draw(2, 3, 4), draw(1, 4)], lambda v, a: torch.where(v > 0, v, v * a))
case("softmax over axis 1", "softmax", "{axis=1}", [draw(2, 4, 3)], lambda v: F.softmax(v, 1))

# ---- dense, embedding ----

for activation, function in {"linear": lambda v: v, "tanh": torch.tanh, "gelu": F.gelu, "softmax": lambda v: F.softmax(v, -1)}.items():
    case("dense " + activation, "dense", '{units=5, activation="%s"}' % activation, [draw(4, 3), draw(3, 5), draw(5)],
         lambda v, k, b: function(F.linear(v, k.t(), b)))
case("dense over steps", "dense", "{units=2, use_bias=false}", [draw(2, 3, 4), draw(4, 2)], lambda v, k: F.linear(v, k.t()))
case("embedding", "embedding", "{input_dim=6, output_dim=3}", [indices(2, 5, high=6), draw(6, 3)], lambda i, t: F.embedding(i, t))

# ---- attention ----


def heads(count, mask=None, causal=False):
    """PyTorch's own multi-head attention; Keras' kernels are [in, heads, dim] and [heads, dim, out]."""
    def run(*inputs):
        q, v = inputs[:2]
        k = inputs[2] if mask is not None else v
        qk, qb, kk, kb, vk, vb, ok, ob = inputs[-8:]
        flat = lambda kernel: kernel.reshape(kernel.shape[0], -1).t()
        hidden = None if mask is None else mask == 0
        if causal:
            hidden = torch.ones(q.shape[1], v.shape[1], dtype=torch.bool).triu(1)
        if hidden is not None and hidden.dim() == 3:
            hidden = hidden.repeat_interleave(count, 0)
        y, _ = F.multi_head_attention_forward(
            q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1), q.shape[-1], count, None,
            torch.cat([qb.flatten(), kb.flatten(), vb.flatten()]), None, None, False, 0.0, ok.reshape(-1, ok.shape[-1]).t(),
            ob, attn_mask=hidden, use_separate_proj_weight=True, q_proj_weight=flat(qk), k_proj_weight=flat(kk),
            v_proj_weight=flat(vk))
        return y.transpose(0, 1)
    return run


def projections(q, k, v, count, dim, shared=None):
    shared = shared or count
    return [draw(q, count, dim), draw(count, dim), draw(k, shared, dim), draw(shared, dim), None, None,
            draw(v, shared, dim), draw(shared, dim), draw(count, dim, q), draw(q)]


visible = torch.maximum(indices(2, 5, 3, high=2), F.one_hot(torch.arange(5) % 3))
case("multi-head attention", "multi_head_attention", "{num_heads=2, key_dim=3}",
     [draw(2, 5, 6), draw(2, 4, 7)] + [None] * 7 + projections(6, 7, 7, 2, 3), heads(2))
case("multi-head attention, masked", "multi_head_attention", "{num_heads=3, key_dim=2}",
     [draw(2, 5, 6), draw(2, 3, 4), draw(2, 3, 5), visible] + [None] * 5 + projections(6, 5, 4, 3, 2), heads(3, visible))
case("multi-head attention, causal", "multi_head_attention", "{num_heads=2, key_dim=4, use_causal_mask=true}",
     [draw(2, 5, 8), draw(2, 5, 8)] + [None] * 7 + projections(8, 8, 8, 2, 4), heads(2, causal=True))


def grouped(q, v, qk, qb, kk, kb, vk, vb, ok, ob):
    repeated = lambda kernel: kernel.repeat_interleave(qk.shape[-2] // kk.shape[-2], -2)
    return heads(qk.shape[-2])(q, v, qk, qb, repeated(kk), repeated(kb), repeated(vk), repeated(vb), ok, ob)


case("grouped query attention", "grouped_query_attention", "{head_dim=2, num_query_heads=4, num_key_value_heads=2}",
     [draw(2, 5, 8), draw(2, 3, 6)] + [None] * 7 + projections(8, 6, 6, 4, 2, shared=2), grouped)


def attend(scores, v):
    return torch.bmm(F.softmax(scores, -1), v)


qvk = [draw(2, 4, 3), draw(2, 5, 2), draw(2, 5, 3)]
case("attention", "attention", "{use_scale=true}", qvk + [None] * 4 + [draw()],
     lambda q, v, k, s: attend(s * torch.bmm(q, k.transpose(1, 2)), v))
case("attention, concat", "attention", '{use_scale=true, score_mode="concat"}', qvk + [None] * 4 + [draw(), draw()],
     lambda q, v, k, s, w: attend(w * torch.tanh(s * (q[:, :, None] + k[:, None])).sum(-1), v))
case("attention, causal", "attention", "{use_causal_mask=true}", [draw(2, 4, 3), draw(2, 4, 3)],
     lambda q, v: attend(torch.bmm(q, v.transpose(1, 2)).masked_fill(torch.ones(4, 4).triu(1) > 0, -1e9), v))
case("additive attention", "additive_attention", "{}", qvk + [None] * 4 + [draw(3)],
     lambda q, v, k, s: attend((s * torch.tanh(q[:, :, None] + k[:, None])).sum(-1), v))

# ---- convolutions: Keras' kernels are [size..., in, out], channels last ----


def channels_first(v):
    return v.movedim(-1, 1)


def channels_last(v):
    return v.movedim(1, -1)


def kernel_first(k):
    return k.movedim(-1, 0).movedim(-1, 1)


def same_padding(v, sizes, strides, dilations):
    pads = []
    for size, stride, dilation, extent in zip(sizes, strides, dilations, v.shape[2:]):
        total = max((-(-extent // stride) - 1) * stride + (size - 1) * dilation + 1 - extent, 0)
        pads = [total // 2, total - total // 2] + pads
    return F.pad(v, pads)


def conv(rank, stride=1, dilation=1, groups=1, same=False):
    function = [F.conv1d, F.conv2d, F.conv3d][rank - 1]

    def run(v, k, b=None):
        v = channels_first(v)
        if same:
            v = same_padding(v, k.shape[:rank], [stride] * rank, [dilation] * rank)
        return channels_last(function(v, kernel_first(k), b, stride=stride, dilation=dilation, groups=groups))
    return run


case("conv1d", "conv_1d", "{filters=4, kernel_size=(3)}", [draw(2, 7, 3), draw(3, 3, 4), draw(4)], conv(1))
case("conv1d same, stride 2", "conv_1d", '{filters=4, kernel_size=(4), strides=(2), padding="same"}', [draw(2, 7, 3), draw(4, 3, 4), draw(4)],
     conv(1, stride=2, same=True))
case("conv1d dilated", "conv_1d", "{filters=2, kernel_size=(3), dilation_rate=(2), use_bias=false}", [draw(2, 9, 3), draw(3, 3, 2)],
     conv(1, dilation=2))
case("conv1d causal", "conv_1d", '{filters=2, kernel_size=(3), padding="causal"}', [draw(2, 6, 2), draw(3, 2, 2), draw(2)],
     lambda v, k, b: channels_last(F.conv1d(F.pad(channels_first(v), (2, 0)), kernel_first(k), b)))
case("conv2d", "conv_2d", "{filters=3, kernel_size=(3, 2)}", [draw(2, 5, 6, 2), draw(3, 2, 2, 3), draw(3)], conv(2))
case("conv2d same, stride 2", "conv_2d", '{filters=3, kernel_size=(3, 3), strides=(2, 2), padding="same"}',
     [draw(2, 6, 5, 2), draw(3, 3, 2, 3), draw(3)], conv(2, stride=2, same=True))
case("conv2d groups", "conv_2d", "{filters=4, kernel_size=(2, 2), groups=2}", [draw(2, 4, 5, 4), draw(2, 2, 2, 4), draw(4)], conv(2, groups=2))
case("conv2d dilated", "conv_2d", '{filters=2, kernel_size=(2, 2), dilation_rate=(2, 2), padding="same"}',
     [draw(1, 5, 5, 2), draw(2, 2, 2, 2), draw(2)], conv(2, dilation=2, same=True))
case("conv3d", "conv_3d", "{filters=2, kernel_size=(2, 2, 2)}", [draw(1, 3, 4, 3, 2), draw(2, 2, 2, 2, 2), draw(2)], conv(3))
# A transposed kernel is [size..., out, in].
case("conv1d transpose", "conv_1d_transpose", "{filters=2, kernel_size=(3), strides=(2)}", [draw(2, 4, 3), draw(3, 2, 3), draw(2)],
     lambda v, k, b: channels_last(F.conv_transpose1d(channels_first(v), kernel_first(k), b, stride=2)))
case("conv2d transpose", "conv_2d_transpose", "{filters=2, kernel_size=(3, 3), strides=(2, 2)}", [draw(1, 3, 4, 3), draw(3, 3, 2, 3), draw(2)],
     lambda v, k, b: channels_last(F.conv_transpose2d(channels_first(v), kernel_first(k), b, stride=2)))


def depthwise(v, k):
    channels, multiplier = k.shape[2], k.shape[3]
    weight = k.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, k.shape[0], k.shape[1])
    return F.conv2d(channels_first(v), weight, groups=channels)


case("depthwise conv2d", "depthwise_conv_2d", "{kernel_size=(3, 2), depth_multiplier=2}", [draw(2, 5, 4, 3), draw(3, 2, 3, 2), draw(6)],
     lambda v, k, b: channels_last(depthwise(v, k)) + b)
case("separable conv2d", "separable_conv_2d", "{filters=2, kernel_size=(2, 2), depth_multiplier=2}",
     [draw(2, 4, 4, 3), draw(2, 2, 3, 2), draw(1, 1, 6, 2), draw(2)],
     lambda v, d, p, b: channels_last(F.conv2d(depthwise(v, d), kernel_first(p), b)))

# ---- pooling ----

distinct = (torch.randperm(2 * 6 * 7 * 2).reshape(2, 6, 7, 2).double() - 80) / 64
case("max pooling 2d", "max_pooling_2d", "{pool_size=(2, 2), strides=(2, 2)}", [distinct], lambda v: channels_last(F.max_pool2d(channels_first(v), 2)))
case("max pooling 2d, overlapping", "max_pooling_2d", "{pool_size=(3, 3), strides=(1, 2)}", [distinct],
     lambda v: channels_last(F.max_pool2d(channels_first(v), 3, stride=(1, 2))))
case("average pooling 2d", "average_pooling_2d", "{pool_size=(2, 3), strides=(2, 2)}", [distinct],
     lambda v: channels_last(F.avg_pool2d(channels_first(v), (2, 3), stride=2)))
case("average pooling 1d", "average_pooling_1d", "{pool_size=(2), strides=(2)}", [draw(2, 7, 3)],
     lambda v: channels_last(F.avg_pool1d(channels_first(v), 2)))
case("global average pooling 2d", "global_average_pooling_2d", "{}", [distinct], lambda v: v.mean((1, 2)))
case("global max pooling 1d", "global_max_pooling_1d", "{}", [distinct[:, :, 0, :]], lambda v: v.amax(1))

# ---- recurrent layers: PyTorch's weights are [gates * units, in], its GRU's gates r, z, n ----

units = 3


def lstm_sequence(v, kernel, recurrent, bias):
    zero = torch.zeros(1, v.shape[0], units)
    return torch._VF.lstm(v, (zero, zero), [kernel.t(), recurrent.t(), bias, bias * 0], True, 1, 0.0, False, False, True)[0]


def gru_sequence(v, kernel, recurrent, bias):
    order = torch.cat([torch.arange(units, 2 * units), torch.arange(units), torch.arange(2 * units, 3 * units)])
    weights = [kernel.t()[order], recurrent.t()[order], bias[0][order], bias[1][order]]
    return torch._VF.gru(v, torch.zeros(1, v.shape[0], units), weights, True, 1, 0.0, False, False, True)[0]


def rnn_sequence(v, kernel, recurrent, bias):
    zero = torch.zeros(1, v.shape[0], units)
    return torch._VF.rnn_tanh(v, zero, [kernel.t(), recurrent.t(), bias, bias * 0], True, 1, 0.0, False, False, True)[0]


def gru_reset_before(v, kernel, recurrent, bias):
    h, steps = torch.zeros(v.shape[0], units), []
    for t in range(v.shape[1]):
        z, r, n = (v[:, t] @ kernel + bias).split(units, 1)
        rz, rr, rn = recurrent.split(units, 1)
        z, r = torch.sigmoid(z + h @ rz), torch.sigmoid(r + h @ rr)
        h = z * h + (1 - z) * torch.tanh(n + (r * h) @ rn)
        steps.append(h)
    return torch.stack(steps, 1)


for sequences in (False, True):
    pick = (lambda s: s) if sequences else (lambda s: s[:, -1])
    flag = "true" if sequences else "false"
    sequence = draw(2, 4, 3)
    case("lstm, sequences " + flag, "lstm", "{units=3, return_sequences=%s}" % flag, [sequence, None, None, draw(3, 12), draw(3, 12), draw(12)],
         lambda *a: pick(lstm_sequence(*a)))
    case("gru, sequences " + flag, "gru", "{units=3, return_sequences=%s}" % flag, [sequence, None, draw(3, 9), draw(3, 9), draw(2, 9)],
         lambda *a: pick(gru_sequence(*a)))
    case("simple rnn, sequences " + flag, "simple_rnn", "{units=3, return_sequences=%s}" % flag, [sequence, None, draw(3, 3), draw(3, 3), draw(3)],
         lambda *a: pick(rnn_sequence(*a)))
case("gru, reset before", "gru", "{units=3, reset_after=false, return_sequences=true}", [draw(2, 4, 3), None, draw(3, 9), draw(3, 9), draw(9)],
     gru_reset_before)
case("lstm, backwards", "lstm", "{units=3, go_backwards=true}", [draw(2, 4, 3), None, None, draw(3, 12), draw(3, 12), draw(12)],
     lambda v, *w: lstm_sequence(v.flip(1), *w)[:, -1])

# ---- losses: one value for each sample ----

t, p = draw(4, 5, low=-2, high=2), draw(4, 5, low=-2, high=2)
case("mean squared error", "mean_squared_error", "{}", [t, p], lambda y, v: F.mse_loss(v, y, reduction="none").mean(-1))
case("mean absolute error", "mean_absolute_error", "{}", [t, p], lambda y, v: F.l1_loss(v, y, reduction="none").mean(-1))
case("huber", "huber", "{delta=0.5}", [t, p], lambda y, v: F.huber_loss(v, y, reduction="none", delta=0.5).mean(-1))
case("log cosh", "log_cosh", "{}", [t, p], lambda y, v: torch.log(torch.cosh(v - y)).mean(-1))
positive, other = draw(4, 5, low=0.2, high=3), draw(4, 5, low=0.2, high=3)
case("mean absolute percentage error", "mean_absolute_percentage_error", "{}", [positive, other],
     lambda y, v: 100 * ((y - v) / y).abs().mean(-1))
case("mean squared logarithmic error", "mean_squared_logarithmic_error", "{}", [positive, other],
     lambda y, v: F.mse_loss(torch.log1p(v), torch.log1p(y), reduction="none").mean(-1))
case("poisson", "poisson", "{}", [positive, other],
     lambda y, v: F.poisson_nll_loss(v, y, log_input=False, full=False, eps=1e-7, reduction="none").mean(-1))
share, guess = draw(4, 5, low=0.1, high=0.9), draw(4, 5, low=0.1, high=0.9)
case("kl divergence", "kl_divergence", "{}", [share, guess], lambda y, v: F.kl_div(v.log(), y, reduction="none").sum(-1))
sign = torch.where(draw(4, 5) > 0, 1, -1)
case("hinge", "hinge", "{}", [sign, p], lambda y, v: F.relu(1 - y * v).mean(-1))
case("squared hinge", "squared_hinge", "{}", [sign, p], lambda y, v: F.relu(1 - y * v).square().mean(-1))
one_hot = F.one_hot(indices(4, high=5), 5)
case("categorical hinge", "categorical_hinge", "{}", [one_hot, p],
     lambda y, v: F.relu(1 + ((1 - y) * v).amax(-1) - (y * v).sum(-1)))
case("binary crossentropy", "binary_crossentropy", "{}", [share, guess],
     lambda y, v: -(y * v.log() + (1 - y) * (1 - v).log()).mean(-1))
case("binary crossentropy of logits, smoothed", "binary_crossentropy", "{from_logits=true, label_smoothing=0.2}", [share, p],
     lambda y, v: F.binary_cross_entropy_with_logits(v, y * 0.8 + 0.1, reduction="none").mean(-1))
case("binary crossentropy along axis 1", "binary_crossentropy", "{axis=1}", [draw(2, 3, 4, low=0.1, high=0.9), draw(2, 3, 4, low=0.1, high=0.9)],
     lambda y, v: -(y * v.log() + (1 - y) * (1 - v).log()).mean(1))
case("binary focal crossentropy", "binary_focal_crossentropy", "{gamma=1.5, alpha=0.3, apply_class_balancing=true}", [share, guess],
     lambda y, v: ((1 - (y * v + (1 - y) * (1 - v))).pow(1.5) * -(y * v.log() + (1 - y) * (1 - v).log())
                   * (y * 0.3 + (1 - y) * 0.7)).mean(-1))
case("categorical crossentropy of logits", "categorical_crossentropy", "{from_logits=true}", [share, p],
     lambda y, v: F.cross_entropy(v, y, reduction="none"))
case("categorical crossentropy of logits, smoothed", "categorical_crossentropy", "{from_logits=true, label_smoothing=0.1}", [one_hot, p],
     lambda y, v: F.cross_entropy(v, y.double(), reduction="none", label_smoothing=0.1))
case("categorical crossentropy along axis 1", "categorical_crossentropy", "{axis=1}", [draw(2, 3, 4, low=0.1, high=0.9), draw(2, 3, 4, low=0.1, high=0.9)],
     lambda y, v: -(y * (v / v.sum(1, keepdim=True)).log()).sum(1))
case("categorical focal crossentropy", "categorical_focal_crossentropy", "{alpha=0.4, gamma=3.0, from_logits=true}", [share, p],
     lambda y, v: -(0.4 * (1 - F.softmax(v, -1)).pow(3) * y * F.log_softmax(v, -1)).sum(-1))
labels = indices(4, high=5)
case("sparse categorical crossentropy", "sparse_categorical_crossentropy", "{}", [labels, guess],
     lambda i, v: F.nll_loss((v / v.sum(-1, keepdim=True)).log(), i, reduction="none"))
case("sparse categorical crossentropy of logits", "sparse_categorical_crossentropy", "{from_logits=true}", [labels, p],
     lambda i, v: F.cross_entropy(v, i, reduction="none"))
case("sparse categorical crossentropy, ignoring", "sparse_categorical_crossentropy", "{from_logits=true, ignore_class=2}",
     [torch.tensor([2, 0, 4, 2]), p], lambda i, v: F.cross_entropy(v, i, reduction="none", ignore_index=2))
case("sparse categorical crossentropy along axis 1", "sparse_categorical_crossentropy", "{from_logits=true, axis=1}",
     [indices(2, 4, high=3), draw(2, 3, 4)], lambda i, v: F.cross_entropy(v, i, reduction="none"))
case("generalized cross entropy", "categorical_generalized_cross_entropy", "{q=0.3}", [labels, guess],
     lambda i, v: (1 - v.gather(1, i[:, None])[:, 0].pow(0.3)) / 0.3)
case("cosine similarity", "cosine_similarity", "{}", [t, p], lambda y, v: -F.cosine_similarity(y, v, dim=-1, eps=1e-7))
case("cosine similarity along axis 1", "cosine_similarity", "{axis=1}", [draw(2, 3, 4), draw(2, 3, 4)],
     lambda y, v: -F.cosine_similarity(y, v, dim=1, eps=1e-7))
case("dice", "dice", "{}", [share, guess], lambda y, v: 1 - 2 * (y * v).sum() / (y.sum() + v.sum() + 1e-7))
case("dice for each sample", "dice", "{axis=(1)}", [share, guess], lambda y, v: 1 - 2 * (y * v).sum(1) / (y.sum(1) + v.sum(1) + 1e-7))
case("tversky", "tversky", "{alpha=0.3, beta=0.7}", [share, guess],
     lambda y, v: 1 - (y * v).sum() / ((y * v).sum() + 0.3 * ((1 - y) * v).sum() + 0.7 * (y * (1 - v)).sum() + 1e-7))


def circle(labels, v, gamma, margin):
    distance = F.relu(1 - v @ v.t())
    same = (labels[:, None] == labels[None, :]) & ~torch.eye(len(labels), dtype=torch.bool)
    other = labels[:, None] != labels[None, :]
    minus = torch.tensor(float("-inf"))
    near = torch.where(same, -gamma * (margin + distance) * (margin - distance), minus)
    far = torch.where(other, gamma * F.relu(1 + margin - distance) * (1 - margin - distance), minus)
    return F.softplus(torch.logsumexp(near, 1) + torch.logsumexp(far, 1))


case("circle", "circle", "{gamma=4.0, margin=0.3}", [torch.tensor([0, 1, 0, 2, 1, 2]), draw(6, 4, low=-0.6, high=0.6)],
     lambda i, v: circle(i, v, 4.0, 0.3))

spelled = torch.tensor([[1, 2, 3], [2, 2, 0], [1, 0, 0]])
case("ctc", "ctc", "{}", [spelled, draw(3, 8, 5, low=-2, high=2)],
     lambda y, v: F.ctc_loss(F.log_softmax(v, -1).transpose(0, 1), y, torch.full((3,), 8), (y > 0).sum(1), reduction="none"))

# ---- merging, resizing ----

case("dot", "dot", "{axes=(1, 2)}", [draw(2, 3, 5), draw(2, 4, 3)], lambda a, b: torch.einsum("bki,bjk->bij", a, b))
case("dot, normalized", "dot", "{axes=(1), normalize=true}", [draw(3, 4), draw(3, 4)],
     lambda a, b: F.cosine_similarity(a, b)[:, None])
case("einsum dense", "einsum_dense", '{equation="abc,cde->abde", output_shape=(-1, 2, 4), bias_axes="de"}',
     [draw(2, 3, 5), draw(5, 2, 4), draw(2, 4)], lambda v, k, b: torch.einsum("abc,cde->abde", v, k) + b)
case("up sampling 2d, bilinear", "up_sampling_2d", '{size=(2, 3), interpolation="bilinear"}', [draw(2, 3, 4, 2)],
     lambda v: channels_last(F.interpolate(channels_first(v), scale_factor=(2, 3), mode="bilinear")))
case("resizing, bilinear", "resizing", "{height=5, width=3}", [draw(2, 3, 7, 2)],
     lambda v: channels_last(F.interpolate(channels_first(v), (5, 3), mode="bilinear")))
case("resizing, antialiased", "resizing", "{height=3, width=4, antialias=true}", [draw(1, 7, 9, 2)],
     lambda v: channels_last(F.interpolate(channels_first(v), (3, 4), mode="bilinear", antialias=True)))
case("resizing, nearest", "resizing", '{height=5, width=3, interpolation="nearest"}', [draw(2, 3, 7, 2)],
     lambda v: channels_last(F.interpolate(channels_first(v), (5, 3), mode="nearest-exact")))
case("adaptive average pooling 2d", "adaptive_average_pooling_2d", "{output_size=(2, 3)}", [draw(2, 5, 7, 2)],
     lambda v: channels_last(F.adaptive_avg_pool2d(channels_first(v), (2, 3))))
case("adaptive max pooling 1d", "adaptive_max_pooling_1d", "{output_size=(3)}", [distinct[:, :, 0, :]],
     lambda v: channels_last(F.adaptive_max_pool1d(channels_first(v), 3)))
case("max pooling, adaptive and even", "adaptive_max_pooling_2d", "{output_size=(2, 2)}", [distinct[:, :4, :4]],
     lambda v: channels_last(F.adaptive_max_pool2d(channels_first(v), 2)))

# ---- regularizers ----

case("l1_l2", "l1_l2", "{l1=0.1, l2=0.3}", [draw(3, 4)], lambda w: 0.1 * w.abs().sum() + 0.3 * w.square().sum())


def orthogonal(w):
    unit = F.normalize(w, dim=1, eps=1e-7)
    pairs = unit @ unit.t()
    count = len(w) * (len(w) - 1) / 2
    return 0.01 * torch.triu(pairs, 1).abs().sum() / count


case("orthogonal regularizer", "orthogonal_regularizer", "{}", [draw(4, 5)], orthogonal)

# ---- masks ----

real_steps = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 1, 1], [1, 1, 0, 1, 0]])


def masked_steps(cell, v, mask, states, backwards=False, zero_output=False):
    """Keras' rule, step by step: a masked step keeps the states and repeats the output, which is 0 at first."""
    output, steps = torch.zeros_like(states[0]), []
    for t in reversed(range(v.shape[1])) if backwards else range(v.shape[1]):
        real = mask[:, t, None] != 0
        new = cell(v[:, t], states)
        output = torch.where(real, new[0], torch.zeros_like(output) if zero_output else output)
        states = [torch.where(real, n, s) for n, s in zip(new, states)]
        steps.append(output)
    return torch.stack(steps, 1)


def lstm_cell(kernel, recurrent, bias):
    return lambda x, states: torch._VF.lstm_cell(x, states, kernel.t(), recurrent.t(), bias, bias * 0)


def rnn_cell(kernel, recurrent, bias):
    return lambda x, states: [torch._VF.rnn_tanh_cell(x, states[0], kernel.t(), recurrent.t(), bias, bias * 0)]


zero_state = torch.zeros(3, units)
case("lstm, masked", "lstm", "{units=3, return_sequences=true}", [draw(3, 5, 2), None, None, draw(2, 12), draw(3, 12), draw(12), real_steps],
     lambda v, k, r, b, m: masked_steps(lstm_cell(k, r, b), v, m, [zero_state, zero_state]))
case("lstm, masked, backwards from a state", "lstm", "{units=3, go_backwards=true}",
     [draw(3, 5, 2), draw(3, 3), draw(3, 3), draw(2, 12), draw(3, 12), draw(12), real_steps],
     lambda v, h, c, k, r, b, m: masked_steps(lstm_cell(k, r, b), v, m, [h, c], backwards=True)[:, -1])
case("simple rnn, masked, zero output", "simple_rnn", "{units=3, return_sequences=true, zero_output_for_mask=true}",
     [draw(3, 5, 2), draw(3, 3), draw(2, 3), draw(3, 3), draw(3), real_steps],
     lambda v, h, k, r, b, m: masked_steps(rnn_cell(k, r, b), v, m, [h], zero_output=True))
lengths = torch.tensor([5, 3, 2])


def packed_lstm(v, kernel, recurrent, bias, mask):
    packed = torch.nn.utils.rnn.pack_padded_sequence(v, lengths, batch_first=True)
    weights = [kernel.t(), recurrent.t(), bias, bias * 0]
    out = torch._VF.lstm(packed.data, packed.batch_sizes, (zero_state[None], zero_state[None]), weights, True, 1, 0.0, False, False)[0]
    return torch.nn.utils.rnn.pad_packed_sequence(torch.nn.utils.rnn.PackedSequence(out, packed.batch_sizes), batch_first=True)[0]


case("lstm, a packed sequence", "lstm", "{units=3, return_sequences=true, zero_output_for_mask=true}",
     [draw(3, 5, 2), None, None, draw(2, 12), draw(3, 12), draw(12), (torch.arange(5)[None] < lengths[:, None]).long()], packed_lstm)
case("global average pooling 1d, masked", "global_average_pooling_1d", "{}", [draw(3, 5, 4), real_steps],
     lambda v, m: (v * m[..., None]).sum(1) / m.sum(1, keepdim=True))
case("masking", "masking", "{mask_value=0.5}", [torch.where(real_steps[..., None] == 1, draw(3, 5, 2, low=-1, high=0.4), torch.tensor(0.5))],
     lambda v: v * (v != 0.5).any(-1, keepdim=True))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_gradients.json")
with open(path, "w") as out:
    out.write('{"producer": "PyTorch %s, float64", "cases": [\n' % torch.__version__)
    out.write(",\n".join(json.dumps(c, separators=(",", ":")) for c in cases))
    out.write("\n]}\n")
print(len(cases), "cases,", os.path.getsize(path), "bytes")
