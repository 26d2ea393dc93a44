"""Every kernel again in NumPy, in the plainest words: what the compiled ones are held against."""

import math

import numpy as np


def linear_forward(x, w, b):
    return x @ w + (0 if b is None else b)


def _windows(x, sizes, border=0.0):
    """For each position of a window: its (y, x), and the pixel that lies there for each output
    pixel.
    """
    kh, kw, sy, sx, py, px = sizes
    x = np.pad(x, ((0, 0), (py, py), (px, px), (0, 0)), constant_values=border)
    rows, columns = (x.shape[1] - kh) // sy + 1, (x.shape[2] - kw) // sx + 1
    for ky in range(kh):
        for kx in range(kw):
            yield (
                (ky, kx),
                x[:, ky : ky + (rows - 1) * sy + 1 : sy, kx : kx + (columns - 1) * sx + 1 : sx],
            )


def conv_forward(x, w, b, sizes):
    return sum(pixels @ w[kx, ky] for (ky, kx), pixels in _windows(x, sizes)) + (
        0 if b is None else b
    )


def conv_backward_params(x, dout, sizes):
    kh, kw = sizes[:2]
    dw = np.empty((kw, kh, x.shape[3], dout.shape[3]))
    for (ky, kx), pixels in _windows(x, sizes):
        dw[kx, ky] = np.einsum("byxc,byxo->co", pixels, dout)
    return dw, dout.sum(axis=(0, 1, 2))


def conv_backward_input(x, w, dout, sizes):
    kh, kw, sy, sx, py, px = sizes
    dx = np.zeros((len(x), x.shape[1] + 2 * py, x.shape[2] + 2 * px, x.shape[3]))
    for ky in range(kh):
        for kx in range(kw):
            rows, columns = (
                slice(ky, ky + (dout.shape[1] - 1) * sy + 1, sy),
                slice(kx, kx + (dout.shape[2] - 1) * sx + 1, sx),
            )
            dx[:, rows, columns] += dout @ w[kx, ky].T
    return dx[:, py : py + x.shape[1], px : px + x.shape[2]]


def max_pool(x, sizes):
    return np.max([pixels for _, pixels in _windows(x, sizes, -np.inf)], axis=0)


def avg_pool(x, sizes):
    return np.mean([pixels for _, pixels in _windows(x, sizes)], axis=0)


def relu(x, slope=0):
    return np.maximum(x, 0)


def leaky_relu(x, slope):
    return np.where(x < 0, slope * x, x)


def tanh(x, slope=0):
    return np.tanh(x)


def sigmoid(x, slope=0):
    z = np.exp(-np.abs(x))
    return np.where(x < 0, z, 1) / (1 + z)


def elu(x, slope):
    return np.where(x > 0, x, slope * np.expm1(np.minimum(x, 0)))


def silu(x, slope=0):
    return x * sigmoid(x)


def softplus(x, slope=1):
    return np.where(slope * x > 20, x, np.logaddexp(0, slope * x) / slope)


def gelu(x, slope=0):
    return x * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2))) / 2


def gelu_tanh(x, slope=0):
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def philox(counter, key):
    """Philox4x32-10 of counters (4, n) and a key of two words, as whole numbers: Salmon et al., SC
    2011, section 3.3.
    """
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> high) ^ c1 ^ np.uint64(k0),
            p1 & low,
            (p0 >> high) ^ c3 ^ np.uint64(k1),
            p0 & low,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3])


def dropout(x, p, key, step):
    """Blocks of 64 elements take the words of 16 counters: the first words of all, then the second
    ones, and so on.
    """
    blocks = -(-x.size // 64)
    number = np.arange(16 * blocks)
    counter = (
        number & 0xFFFFFFFF,
        number >> 32,
        np.full_like(number, step & 0xFFFFFFFF),
        np.full_like(number, step >> 32),
    )
    words = (
        philox(counter, (key & 0xFFFFFFFF, key >> 32))
        .reshape(4, blocks, 16)
        .transpose(1, 0, 2)
        .ravel()[: x.size]
    )
    return np.where(words < np.uint64(p * 2**32), 0, x * (1 / (1 - p) if p < 1 else 0))


def group_norm(x, groups, pixels, w, b, eps):
    """x (m * pixels, n); returns out and xhat."""
    n = x.shape[1]
    grouped = x.reshape(-1, pixels, groups, n // groups)
    mean, var = (f(grouped, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    xhat = ((grouped - mean) / np.sqrt(var + eps)).reshape(x.shape)
    return w * xhat + b, xhat


def layer_norm(x, w, b, eps):
    centered = x - x.mean(axis=1, keepdims=True)
    rstd = 1 / np.sqrt((centered**2).mean(axis=1) + eps)
    xhat = centered * rstd[:, None]
    return xhat * w + b, xhat, rstd


def batch_norm(x, w, b, eps):
    return layer_norm(x.T, w[:, None], b[:, None], eps)[0].T


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


def nadam(w, g, v, step, lr, betas, eps, weight_decay, momentum_decay):
    """v[2] is 1 - the product of all momenta."""
    g = g + weight_decay * w
    mu, after = (betas[0] * (1 - 0.96 ** (t * momentum_decay) / 2) for t in (step, step + 1))
    product = (1 - v[2]) * mu
    m = betas[0] * v[0] + (1 - betas[0]) * g
    s = betas[1] * v[1] + (1 - betas[1]) * g**2
    mean = (1 - mu) / (1 - product) * g + after / (1 - product * after) * m
    root = np.sqrt(s / (1 - betas[1] ** step)) + eps
    return w - lr * mean / root, [m, s, 1 - product]


def rmsprop(w, g, v, step, lr, alpha, eps, weight_decay=0, momentum=0, centered=False):
    g = g + weight_decay * w
    s = alpha * v[0] + (1 - alpha) * g**2
    a = alpha * v[2] + (1 - alpha) * g if centered else 0
    g = g / (np.sqrt(s - a**2) + eps)
    b = momentum * v[1] + g if len(v) > 1 else g
    return w - lr * b, [s, b, a][: len(v)]


def draw(key, row, epoch, purpose, count):
    """The first words that are drawn for an image; the purposes are affine, elastic and noise."""
    blocks = np.arange(-(-count // 4)) + (purpose << 28)
    counter = [
        blocks,
        *(np.full_like(blocks, word) for word in (row & 0xFFFFFFFF, row >> 32, epoch)),
    ]
    return philox(counter, [int(word) for word in key]).T.ravel()[:count].astype(np.uint32)


def uniform(words):
    return words.astype(np.int32) / 2.0**31


def inverse_map(key, row, epoch, height, width, shift, rotation, scale, shear, flip):
    """The matrix that leads from places (x, y, 1) in the output to places in the input, without
    elastic displacements.
    """
    words = draw(key, row, epoch, 0, 8)
    u = uniform(words)
    angle, slant = rotation * u[2], np.tan(shear * u[4])
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    slope = np.array([[1, slant, 0], [0, 1, 0], [0, 0, 1]])
    zoom = np.diag([1 + scale * u[3], 1 + scale * u[3], 1])
    move = np.array([[1, 0, shift * u[0]], [0, 1, shift * u[1]], [0, 0, 1]])
    mirror = np.diag([-1 if flip and words[5] >> 31 else 1, 1, 1])
    center = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    return center @ mirror @ np.linalg.inv(move @ turn @ slope @ zoom) @ np.linalg.inv(center)


def interpolate(image, x, y):
    """Between four pixels of images (channels, height, width), which are 0 beyond their edges."""
    height, width = image.shape[1:]
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    result = 0
    for i, wy in ((top, 1 - (y - top)), (top + 1, y - top)):
        for j, wx in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            result = (
                result + wy * wx * inside * image[:, i.clip(0, height - 1), j.clip(0, width - 1)]
            )
    return result


def augment(image, row, epoch, key, affine=None, bases=None, noise=None, standard=None):
    """One image (channels, height, width) as an epoch shows it."""
    height, width = image.shape[1:]
    if affine or bases:
        settings = affine or dict.fromkeys(("shift", "rotation", "scale", "shear", "flip"), 0)
        pixels = np.stack(
            [*np.meshgrid(np.arange(width), np.arange(height)), np.ones((height, width))]
        )
        x, y, _ = np.tensordot(inverse_map(key, row, epoch, height, width, **settings), pixels, 1)
        if bases:
            rows, columns = bases
            nodes = uniform(draw(key, row, epoch, 1, 2 * rows.shape[1] * len(columns))).reshape(
                2, rows.shape[1], len(columns)
            )
            move_x, move_y = rows @ nodes @ columns[:, :width]
            x, y = x + move_x, y + move_y
        image = interpolate(image, x, y)
    if noise:
        deviation, quantiles = noise
        words = draw(key, row, epoch, 2, -(-image.size // 8) * 4)
        bits = np.stack([words & 0xFFFF, words >> 16], axis=1).ravel()[: image.size]
        image = image + deviation * np.interp(
            (bits + 0.5) / 256, np.arange(257), quantiles
        ).reshape(image.shape)
    if standard:
        mean, factor = standard
        image = (image - mean.reshape(image.shape)) * factor.reshape(image.shape)
    return image
