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


def smoothed(t, smoothing, weights):
    return weights * ((1 - smoothing) * t + smoothing / t.shape[1])


def mse(x, t):
    return ((x - t) ** 2).mean(axis=1)


def l1(x, t):
    return np.abs(x - t).mean(axis=1)


def huber(x, t, delta):
    d = np.abs(x - t)
    return np.where(d <= delta, d**2 / 2, delta * (d - delta / 2)).mean(axis=1)


def quantile(x, t, q):
    return np.maximum(q * (t - x), (q - 1) * (t - x)).mean(axis=1)


def poisson(x, t, eps):
    return (x - t * np.log(x + eps)).mean(axis=1)


def poisson_log(x, t):
    return (np.exp(x) - t * x).mean(axis=1)


def bce(x, t):
    return (np.logaddexp(0, x) - t * x).mean(axis=1)


def sgd(w, g, v, step, lr, momentum=0, weight_decay=0, nesterov=False):
    g = g + weight_decay * w
    v = [momentum * v[0] + g] if momentum else []
    return w - lr * (g + momentum * v[0] if nesterov else v[0] if momentum else g), v


def adam(w, g, v, step, lr, betas, eps, weight_decay=0, amsgrad=False, decoupled=False):
    m, s, *largest = v
    if decoupled:
        w = w - lr * weight_decay * w
    else:
        g = g + weight_decay * w
    m = betas[0] * m + (1 - betas[0]) * g
    s = betas[1] * s + (1 - betas[1]) * g**2
    largest = [np.maximum(largest[0], s)] if amsgrad else []
    root = np.sqrt((largest[0] if amsgrad else s) / (1 - betas[1] ** step))
    return w - lr * (m / (1 - betas[0] ** step)) / (root + eps), [m, s, *largest]


def rmsprop(w, g, v, step, lr, alpha, eps, weight_decay=0, momentum=0, centered=False):
    g = g + weight_decay * w
    s = alpha * v[0] + (1 - alpha) * g**2
    a = alpha * v[2] + (1 - alpha) * g if centered else 0
    g = g / (np.sqrt(s - a**2) + eps)
    b = momentum * v[1] + g if len(v) > 1 else g
    return w - lr * b, [s, b, a][: len(v)]


def philox(counter, key):
    """Philox 4x32-10 of counters (n, 4): words (n, 4)."""
    c = [column.astype(object) for column in np.asarray(counter).T]
    k = [int(word) for word in key]
    for _ in range(10):
        p0, p1 = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, axis=1).astype(np.uint32)


def draw(key, row, epoch, purpose, count):
    """The first words that are drawn for an image; the purposes are affine, elastic and noise."""
    blocks = np.arange(-(-count // 4)) + (purpose << 28)
    counter = np.stack([blocks, *(np.full_like(blocks, word) for word in (row & 0xFFFFFFFF, row >> 32, epoch))], axis=1)
    return philox(counter, key).ravel()[:count]


def uniform(words):
    return words.astype(np.int32) / 2.0**31


def inverse_map(key, row, epoch, height, width, shift, rotation, scale, shear, flip):
    """The matrix that leads from places (x, y, 1) in the output to places in the input, without elastic displacements."""
    words = draw(key, row, epoch, 0, 8)
    u = uniform(words)
    angle, slant = rotation * u[2], np.tan(shear * u[4])
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    slope = np.array([[1, slant, 0], [0, 1, 0], [0, 0, 1]])
    zoom = np.diag([1 + scale * u[3], 1 + scale * u[3], 1])
    move = np.array([[1, 0, shift * u[0]], [0, 1, shift * u[1]], [0, 0, 1]])
    mirror = np.diag([-1 if flip and words[5] >> 31 else 1, 1, 1])
    centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    return centre @ mirror @ np.linalg.inv(move @ turn @ slope @ zoom) @ np.linalg.inv(centre)


def interpolate(image, x, y):
    """Between four pixels of images (channels, height, width), which are 0 beyond their edges."""
    height, width = image.shape[1:]
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    result = 0
    for i, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
        for j, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            result = result + wy * wx * inside * image[:, i.clip(0, height - 1), j.clip(0, width - 1)]
    return result


def augment(image, row, epoch, key, affine=None, bases=None, noise=None, standard=None):
    """One image (channels, height, width) as an epoch shows it."""
    height, width = image.shape[1:]
    if affine or bases:
        settings = affine or dict.fromkeys(("shift", "rotation", "scale", "shear", "flip"), 0)
        pixels = np.stack([*np.meshgrid(np.arange(width), np.arange(height)), np.ones((height, width))])
        x, y, _ = np.tensordot(inverse_map(key, row, epoch, height, width, **settings), pixels, 1)
        if bases:
            rows, columns = bases
            nodes = uniform(draw(key, row, epoch, 1, 2 * rows.shape[1] * len(columns))).reshape(2, rows.shape[1], len(columns))
            move_x, move_y = rows @ nodes @ columns[:, :width]
            x, y = x + move_x, y + move_y
        image = interpolate(image, x, y)
    if noise:
        deviation, quantiles = noise
        words = draw(key, row, epoch, 2, -(-image.size // 8) * 4)
        bits = np.stack([words & 0xFFFF, words >> 16], axis=1).ravel()[: image.size]
        image = image + deviation * np.interp((bits + 0.5) / 256, np.arange(257), quantiles).reshape(image.shape)
    if standard:
        mean, factor = standard
        image = (image - mean.reshape(image.shape)) * factor.reshape(image.shape)
    return image
