# Mini-batches of images for one epoch: gathered, augmented at random, standardized.

# Operations that take as long as one element of an augmented image.
cdef double AUGMENT_FLOPS = 125
# Coordinates, and numbers of pixels, are whole numbers of type `real`.
cdef Py_ssize_t MAX_FRAMED = 1 << 22


cdef struct AugmentTask:
    const cnet_augment *spec
    real *out
    const real *x
    const uint8_t *x_uint8  # or this
    const int64_t *sources
    const int64_t *rows
    uint32_t epoch
    real *scratch


cdef void _run_augment(const void *arguments, const Block *block, int ith, int nth) noexcept nogil:
    """out[i] = row sources[i] of x, distorted as row rows[i] of the data set."""
    cdef const AugmentTask *t = <const AugmentTask *> arguments
    cdef const cnet_augment *a = t.spec
    cdef Py_ssize_t n = a.channels * a.height * a.width, i
    cdef real *scratch = t.scratch + ith * cnet_augment_scratch(a)
    for i in range(_chunk_begin(block.m, ith, nth), _chunk_begin(block.m, ith + 1, nth)):
        kernels().augment(
            a, t.rows[i], t.epoch, t.x + t.sources[i] * n if t.x != NULL else NULL,
            t.x_uint8 + t.sources[i] * n if t.x_uint8 != NULL else NULL, t.out + i * n, scratch
        )


cdef class Augmentation:
    """Augmentation of images (channels, height, width), by kernels/augment.h.

    affine, elastic, noise and standardize each add a step. Without them, images do not change.
    """

    cdef cnet_augment spec
    cdef list keepalive

    def __cinit__(
        self, Py_ssize_t channels, Py_ssize_t height, Py_ssize_t width, const uint32_t[::1] key
    ):
        if min(channels, height, width) < 1:
            raise ValueError(f"images of shape ({channels}, {height}, {width}) hold nothing")
        if height + 3 > MAX_FRAMED // (width + 3):
            raise ValueError(
                f"images of {height} x {width} pixels are too large, "
                f"expected less than {MAX_FRAMED} pixels"
            )
        _check1("key", key.shape[0], 2)
        self.spec.channels, self.spec.height, self.spec.width = channels, height, width
        self.spec.key[0], self.spec.key[1] = key[0], key[1]
        self.keepalive = []

    def affine(self, double shift, double rotation, double scale, double shear, bint flip):
        """Shift (pixels), rotate and shear (radians), scale (about 1) and mirror at random."""
        self.spec.warp = True
        self.spec.shift, self.spec.rotation, self.spec.scale = shift, rotation, scale
        self.spec.shear, self.spec.flip = shear, flip

    def elastic(self, const real[:, ::1] basis_y, const real[:, ::1] basis_x):
        """Displace pixels by basis_y @ noise @ basis_x, with noise uniform in [-1, 1].

        basis_y is (height, nodes_y), basis_x (nodes_x, span).
        """
        _check2("basis_y", basis_y.shape[0], basis_y.shape[1], self.spec.height, basis_y.shape[1])
        _check2(
            "basis_x", basis_x.shape[0], basis_x.shape[1], basis_x.shape[0],
            cnet_augment_span(self.spec.width)
        )
        self.spec.warp = True
        self.spec.nodes_y, self.spec.nodes_x = basis_y.shape[1], basis_x.shape[0]
        self.spec.basis_y, self.spec.basis_x = _in2(basis_y), _in2(basis_x)
        self.keepalive.append((basis_y, basis_x))

    def noise(self, real deviation, const real[::1] quantiles):
        """Add normal noise with that standard deviation.

        quantiles (257,) are those of 0/256 to 256/256 of the standard normal distribution.
        """
        _check1("quantiles", quantiles.shape[0], 257)
        self.spec.noise, self.spec.quantiles = deviation, _in1(quantiles)
        self.keepalive.append(quantiles)

    def standardize(self, const real[::1] mean, const real[::1] factor):
        """Replace each element x by (x - mean) * factor, with its own mean and factor."""
        cdef Py_ssize_t n = self.spec.channels * self.spec.height * self.spec.width
        _check1("mean", mean.shape[0], n)
        _check1("factor", factor.shape[0], n)
        self.spec.mean, self.spec.factor = _in1(mean), _in1(factor)
        self.keepalive.append((mean, factor))

    @property
    def span(self) -> int:
        """How long a row of basis_x is."""
        return cnet_augment_span(self.spec.width)

    @property
    def scratch(self) -> int:
        """How many elements of scratch memory a thread needs."""
        return cnet_augment_scratch(&self.spec)

    def run(
        self, real[:, ::1] out, x, const int64_t[::1] sources, const int64_t[::1] rows,
        uint32_t epoch, real[::1] scratch
    ):
        """Write x[sources] to out, augmented as the samples `rows` of the data set.

        x is real or uint8. scratch has `scratch` elements for each thread, zeros before the first
        call.
        """
        cdef const real[:, ::1] x_real = None
        cdef const uint8_t[:, ::1] x_uint8 = None
        cdef Py_ssize_t m = rows.shape[0]
        cdef Py_ssize_t n = self.spec.channels * self.spec.height * self.spec.width
        cdef int threads = <int> min(scratch.shape[0] // cnet_augment_scratch(&self.spec), ALL)
        if x.dtype == "uint8":
            x_uint8 = x
        else:
            x_real = x
        _check2("out", out.shape[0], out.shape[1], m, n)
        _check2("x", x.shape[0], x.shape[1], x.shape[0], n)
        _check1("sources", sources.shape[0], m)
        _check_rows(sources, x.shape[0])
        if threads < 1:
            raise ValueError(
                f"scratch has {scratch.shape[0]} elements, expected {self.scratch} for each thread"
            )
        if not m:
            return
        cdef const uint8_t *bytes_ = &x_uint8[0, 0] if x_uint8 is not None else NULL
        cdef AugmentTask t = AugmentTask(
            &self.spec, &out[0, 0], _in2(x_real), bytes_, &sources[0], &rows[0], epoch, &scratch[0]
        )
        with nogil:
            _run_now(_run_augment, &t, m, AUGMENT_FLOPS * m * n, threads)
