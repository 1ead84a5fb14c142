#!/usr/bin/python3
"""Predicts with a compiled model and trains it from Python, through the C API:  keep_learning.py lstm.so [libmoru.so.0]

Needs numpy alone. Arrays are handed over where they lie.
"""
import ctypes as c
import sys

import numpy as np


class Tensor(c.Structure):
    _fields_ = [("data", c.c_void_p), ("shape", c.POINTER(c.c_int64)), ("rank", c.c_int32), ("dtype", c.c_int32)]


class Moru:
    """One session over one program."""

    def __init__(self, path, library="libmoru.so.0"):
        self.api = c.CDLL(library)
        self.api.moru_last_error.restype = c.c_char_p
        self.program, self.session = c.c_void_p(), c.c_void_p()
        self.check(self.api.moru_program_open(path.encode(), c.byref(self.program)))
        self.check(self.api.moru_session_create(self.program, 1, c.byref(self.session)))
        self.bound = {}

    def check(self, code):
        if code:
            raise RuntimeError(self.api.moru_last_error().decode())

    def slot(self, name):
        return self.api.moru_program_find_slot(self.program, name.encode())

    def bind(self, name, array):
        self.bound[name] = np.ascontiguousarray(array)  # alive as long as it is bound
        shape = (c.c_int64 * array.ndim)(*array.shape)
        self.check(self.api.moru_session_bind(self.session, self.slot(name), self.bound[name].ctypes.data_as(c.c_void_p), shape, array.ndim))

    def run(self, entry):
        self.check(self.api.moru_session_run(self.session, self.api.moru_program_find_entry(self.program, entry.encode())))

    def view(self, name):
        tensor = Tensor()
        self.check(self.api.moru_session_view(self.session, self.slot(name), c.byref(tensor)))
        kind = [c.c_float, c.c_double, c.c_int32, c.c_int64, c.c_bool][tensor.dtype]
        shape = tensor.shape[:tensor.rank]
        return np.ctypeslib.as_array(c.cast(tensor.data, c.POINTER(kind)), shape or (1,)).copy()


def main():
    moru = Moru(*sys.argv[1:])
    random = np.random.default_rng(1)
    window = random.uniform(-1, 1, (32, 24, 16)).astype(np.float32)
    moru.bind("window", window)
    moru.bind("count/target", window[:, 0, :1])
    losses = []
    for _ in range(100):
        moru.run("train_step")
        losses.append(float(moru.view("loss")[0]))
    moru.run("predict")
    print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}; predicts {moru.view('count')[0, 0]:.3f} where it is {window[0, 0, 0]:.3f}")


if __name__ == "__main__":
    main()
