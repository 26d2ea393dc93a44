"""Every kernel again in NumPy, in the plainest words: what the compiled ones are held against."""

import numpy as np


def linear_forward(x, w, b):
    return x @ w + (0 if b is None else b)


def relu(x, slope=0):
    return np.maximum(x, 0)


def leaky_relu(x, slope):
    return np.where(x < 0, slope * x, x)


def tanh(x, slope=0):
    return np.tanh(x)


def sigmoid(x, slope=0):
    z = np.exp(-np.abs(x))
    return np.where(x < 0, z, 1) / (1 + z)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def one_hot(labels, classes, dtype=np.float64):
    return np.eye(classes, dtype=dtype)[labels]


def cross_entropy(x, t):
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(t * log_p).sum(axis=1)


def nll(p, t):
    return -(t * np.log(np.maximum(p, np.finfo(p.dtype).tiny))).sum(axis=1)


def mse(x, t):
    return ((x - t) ** 2).mean(axis=1)


def sgd(w, g, v, lr, momentum, weight_decay, nesterov):
    g = g + weight_decay * w
    v = momentum * v + g
    return w - lr * (g + momentum * v if nesterov else v), v
