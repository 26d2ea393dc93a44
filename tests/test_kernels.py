"""Every kernel of the table: parity with NumPy, and the same bits for any number of threads."""

import itertools

import numpy as np
import pytest
import reference
from cases import CASES, WINOGRAD, Guarded

from cnet._core import CODES, loops

TOLERANCE = {np.dtype(np.float32): 2e-6, np.dtype(np.float64): 4e-15}

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def in_double(arrays):
    return {
        k: v.astype(np.float64) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for k, v in arrays.items()
    }


def normalized_error(got, expected):
    """The largest difference, in units of the largest value (or of 1e-3, where all are smaller)."""
    assert got.shape == expected.shape
    return np.abs(got - expected).max(initial=0) / np.abs(expected).max(initial=1e-3)


def run(case, dtype, inputs):
    out = Guarded(dtype)
    copies = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
    outputs = case.run(loops(dtype), inputs, out)
    assert out.intact(), "written outside the outputs"
    for name, before in copies.items():
        np.testing.assert_array_equal(inputs[name], before, "an input was changed")
    return outputs


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.expected], ids=lambda case: case.name
)
def test_parity_with_numpy(case, isa, dtype, rng):
    for shape in case.shapes:
        inputs = case.inputs(rng, shape, dtype)
        outputs = run(case, dtype, inputs)
        for name, expected in case.expected(in_double(inputs)).items():
            assert normalized_error(outputs[name], expected) <= case.slack * TOLERANCE[dtype], (
                name,
                shape,
            )


@cases
def test_same_bits_for_any_number_of_threads(case, isa, dtype, rng, threads):
    for shape in case.shapes:
        inputs = case.inputs(rng, shape, dtype)
        threads(1)
        alone = run(case, dtype, inputs)
        for n in (2, 3, 4, 7):
            threads(n)
            for name, value in run(case, dtype, inputs).items():
                np.testing.assert_array_equal(value, alone[name], f"{name} {shape} {n} threads")


BY_ROW = (
    "layer_norm_forward",
    "linear_forward",
    "linear_backward_input",
    "conv_forward",
    "conv_backward_input",
    "max_pool",
    "avg_pool",
    "softmax",
)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name.startswith(BY_ROW)], ids=lambda c: c.name
)
def test_a_row_does_not_depend_on_its_place_or_its_batch(case, isa, dtype, rng):
    for shape in case.shapes[1:]:
        inputs = case.inputs(rng, shape, dtype)
        whole = next(iter(run(case, dtype, inputs).values()))
        order = rng.permutation(len(whole))
        for rows in (order, order[: len(order) // 2 + 1], order[:1]):
            part = {
                k: np.ascontiguousarray(v[rows]) if k in ("x", "dout") else v
                for k, v in inputs.items()
            }
            result = next(iter(run(case, dtype, part).values()))
            np.testing.assert_array_equal(result, whole[rows])


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name.startswith("conv_")], ids=lambda c: c.name
)
def test_the_error_of_winograds_algorithm_is_that_of_float32(case, isa, rng):
    for shape in WINOGRAD[1:]:
        inputs = case.inputs(rng, shape, np.float32)
        exact = {k: v if k == "sizes" else v.astype(np.float64) for k, v in inputs.items()}
        for name, expected in run(case, np.dtype(np.float64), exact).items():
            error = run(case, np.dtype(np.float32), inputs)[name] - expected
            assert abs(error).max() <= 2e-6 * np.sqrt(np.mean(expected**2)), (name, shape)


def test_sets_that_fuse_multiply_and_add_agree_in_every_bit_of_a_product(dtype, rng):
    """Blocks of the sum are the same everywhere, so only the rounding of the x86 baseline
    differs.
    """
    from cnet._core import _isa

    case = next(case for case in CASES if case.name == "linear_forward")
    fused = [name for name in _isa.available_isas() if name != "baseline"]
    before = _isa.active_isa()
    try:
        for shape in case.shapes:
            inputs = case.inputs(rng, shape, dtype)
            results = []
            for name in fused:
                _isa.use_isa(name)
                results.append(run(case, dtype, inputs)["out"])
            for a, b in itertools.pairwise(results):
                np.testing.assert_array_equal(a, b)
    finally:
        _isa.use_isa(before)


EXTREME = np.array(
    [-np.inf, -1e30, -1000, -100, -88, -20, -1e-6, -0.0, 0.0, 1e-6, 20, 88, 100, 1000, 1e30, np.inf]
)


def activate(x, kind, slope=0.0):
    """f(x) of a vector."""
    y = np.empty_like(x)
    loops(x.dtype).activation_forward(y[:, None], x[:, None], kind, slope)
    return y


@pytest.mark.parametrize(("name", "low", "high"), [("TANH", -1, 1), ("SIGMOID", 0, 1)])
def test_saturating_activations_at_any_magnitude(name, low, high, isa, dtype):
    x = EXTREME.astype(dtype)
    y = activate(x, CODES[name])
    assert y[0] == low
    assert y[-1] == high
    assert ((y >= low) & (y <= high)).all()
    assert (np.diff(y) >= 0).all()


def test_activations_pass_nan_on(isa, dtype):
    x = np.full(37, np.nan, dtype)
    for kind in range(CODES["SOFTPLUS"] + 1):
        assert np.isnan(activate(x, kind, 0.1)).all()


@pytest.mark.parametrize("n", [1, 2, 10, 32, 33, 100])
def test_rows_classified_correctly(n, isa, dtype, rng):
    """The first of equal scores counts, and -inf is a score like any other."""
    for m in (0, 1, 7, 16, 37):
        x = rng.integers(0, 4, (m, n)).astype(dtype)
        x[x == 0] = -np.inf
        x[::5] = -np.inf
        labels = np.where(rng.random(m) < 0.5, x.argmax(axis=1), rng.integers(0, n, m))
        assert loops(dtype).count_correct(x, labels) == np.count_nonzero(x.argmax(axis=1) == labels)


def test_philox_gives_the_numbers_of_its_authors():
    """Known answers from the authors' library, Random123; the kernel of dropout is held against
    this generator.
    """
    for counter, key, words in [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]:
        assert tuple(reference.philox([[word] for word in counter], key).ravel().tolist()) == words


def test_erf_to_a_few_units_in_the_last_place_of_one(isa, dtype):
    """Through GELU, which is x * (1 + erf(x / sqrt(2))) / 2."""
    x = np.concatenate([np.linspace(-9, 9, 20001), np.geomspace(1e-20, 1, 100)]).astype(dtype)
    y = activate(x, CODES["GELU"])
    expected = reference.gelu(x.astype(np.float64))
    assert (np.abs(y - expected) <= 4 * np.finfo(dtype).eps * np.abs(x)).all()


def test_elu_keeps_its_digits_near_zero(isa, dtype):
    x = -np.geomspace(1e-30, 1e-2, 100).astype(dtype)
    y = activate(x, CODES["ELU"], 1)
    np.testing.assert_allclose(y, np.expm1(x.astype(np.float64)), rtol=4 * np.finfo(dtype).eps)


def test_softplus_at_any_magnitude(isa, dtype):
    x = np.concatenate([np.linspace(-80, 80, 2001), np.geomspace(1e-20, 1, 50)]).astype(dtype)
    exact = np.logaddexp(0, 2 * x.astype(np.float64)) / 2
    np.testing.assert_allclose(
        activate(x, CODES["SOFTPLUS"], 2), exact, rtol=16 * np.finfo(dtype).eps + 1e-9, atol=1e-37
    )
    y, dx = exact.astype(dtype), np.empty_like(x)
    loops(dtype).activation_backward(
        dx[:, None], np.ones_like(x)[:, None], y[:, None], CODES["SOFTPLUS"], 2
    )
    np.testing.assert_allclose(dx, -np.expm1(-2 * y.astype(np.float64)), rtol=1e-6)


def test_tanh_keeps_its_digits_near_zero(isa, dtype):
    x = np.geomspace(1e-30, 1e-2, 100).astype(dtype)
    y = activate(x, CODES["TANH"])
    np.testing.assert_allclose(y, np.tanh(x.astype(np.float64)), rtol=4 * np.finfo(dtype).eps)


def test_exp_within_a_few_units_in_the_last_place(isa, dtype):
    """Through softmax of two logits, whose smaller probability is exp(-d) / (1 + exp(-d))."""
    d = np.linspace(0, 80, 5001).astype(dtype)
    x = np.stack([np.zeros_like(d), -d], axis=1)
    y = np.empty_like(x)
    loops(dtype).softmax_forward(y, x)
    e = np.exp(-d.astype(np.float64))
    np.testing.assert_allclose(y[:, 1], e / (1 + e), rtol=6 * np.finfo(dtype).eps)


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_softmax_cross_entropy_at_any_magnitude(scale, isa, dtype):
    x = np.array([[scale, 0, -scale], [-scale, -scale, -scale], [scale, scale, -np.inf]], dtype)
    y, rows, dx = np.empty_like(x), np.empty(3, dtype), np.empty_like(x)
    loops(dtype).softmax_forward(y, x)
    np.testing.assert_allclose(y, [[1, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0]], rtol=1e-6)
    loops(dtype).loss(CODES["CROSS_ENTROPY"], 0, rows, dx, x, np.array([0, 1, 1]), None)
    np.testing.assert_allclose(rows, [0, np.log(3), np.log(2)], rtol=1e-6, atol=1e-12)
    assert np.isfinite(dx).all()
    loops(dtype).loss(CODES["CROSS_ENTROPY"], 0, rows, dx, x, np.array([2, 1, 1]), None)
    np.testing.assert_allclose(rows[0], 2 * scale, rtol=1e-6)


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0), (1 / 127.5, -1), (-3, 0.1)])
def test_rescaling_rounds_product_and_sum_one_after_the_other(scale, offset, isa, dtype):
    x = np.arange(256, dtype=dtype).reshape(64, 4)
    out = np.empty_like(x)
    loops(dtype).rescale(out, x, scale, offset)
    np.testing.assert_array_equal(out, x * dtype.type(scale) + dtype.type(offset))
    loops(dtype).rescale(x, x, scale, offset)
    np.testing.assert_array_equal(x, out)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_found_anywhere(bad, isa, dtype, threads):
    largest = np.finfo(dtype).max
    for n in (0, 1, 7, 64, 67, 300):
        for count in (1, 3):
            threads(count)
            x = np.resize(np.array([largest, -largest, -0.0, 1e-30], dtype), n)
            assert loops(dtype).all_finite(x)
            for i in range(n):
                x[i], kept = bad, x[i]
                assert not loops(dtype).all_finite(x)
                x[i] = kept


def test_wrong_sizes_are_rejected_before_any_memory_is_touched(dtype):
    k, cross_entropy = loops(dtype), CODES["CROSS_ENTROPY"]
    a = np.zeros((4, 3), dtype)
    with pytest.raises(ValueError, match=r"w has shape \(2, 5\), expected \(3, 5\)"):
        k.linear_forward(np.zeros((4, 5), dtype), a, np.zeros((2, 5), dtype), None)
    with pytest.raises(ValueError, match=r"out has shape \(4, 4\), expected \(4, 5\)"):
        k.linear_forward(np.zeros((4, 4), dtype), a, np.zeros((3, 5), dtype), None)
    with pytest.raises(ValueError, match="b has 4 elements, expected 5"):
        k.linear_forward(np.zeros((4, 5), dtype), a, np.zeros((3, 5), dtype), np.zeros(4, dtype))
    with pytest.raises(
        ValueError, match=r"label 3 of sample 1 is outside 0\.\.2: there are 3 classes"
    ):
        k.loss(cross_entropy, 0, np.zeros(4, dtype), None, a, np.array([0, 3, 1, 1]), None)
    with pytest.raises(ValueError, match="weights has 2 elements, expected 3"):
        k.loss(cross_entropy, 0, None, None, a, np.zeros(4, np.int64), None, np.ones(2, dtype))
    with pytest.raises(ValueError, match="row_weights has 3 elements, expected 4"):
        k.loss(
            cross_entropy,
            0,
            None,
            None,
            a,
            np.zeros(4, np.int64),
            None,
            None,
            np.ones(3, dtype),
        )
    with pytest.raises(ValueError, match=r"targets has shape \(4, 2\), expected \(4, 3\)"):
        k.loss(CODES["MSE"], 0, None, None, a, np.zeros(4, np.int64), np.zeros((4, 2), dtype))
    with pytest.raises(ValueError, match="loss 2 needs targets"):
        k.loss(CODES["MSE"], 0, None, None, a, np.zeros(4, np.int64), None)
    for row in (-1, 4):
        with pytest.raises(IndexError, match=f"sample {row} is outside a data set of 4 samples"):
            k.gather(np.zeros((1, 3), dtype), a, np.array([row]))
    x = np.zeros((2, 4, 3), dtype)
    for shape in ((2, 4, 3), (1, 3, 4), (2, 3, 5), (2, 2, 4)):
        out = np.ones(shape, dtype)
        with pytest.raises(ValueError, match=r"out has shape .*, expected \(2, 3, 4\)"):
            k.transpose(out, x)
        assert (out == 1).all()


@pytest.mark.parametrize(
    "kind", ["BCE", "POISSON_LOG", "L1", "HUBER", "SMOOTH_L1", "QUANTILE", "MSE"]
)
def test_losses_of_elements_at_any_magnitude(kind, isa, dtype):
    x = np.array([[-1e4, -100, -0.0, 0.0, 50, 1e4]], dtype)
    x = x[:, :5] if kind == "POISSON_LOG" else x
    rows, dx = np.empty(1, dtype), np.empty_like(x)
    value = loops(dtype).loss(CODES[kind], 0.5, rows, dx, x, None, np.zeros_like(x))
    assert np.isfinite(value)
    assert np.isfinite(dx).all()
    x[0, 2] = np.nan
    loops(dtype).loss(CODES[kind], 0.5, rows, dx, x, None, np.zeros_like(x))
    assert np.isnan(rows).all()
    assert np.isnan(dx[0, 2])


def test_a_bounded_loss_takes_probabilities_as_within_epsilon_of_0_and_1(isa, dtype):
    """As scikit-learn does. The gradient is not bounded, and a loss of outputs that are not finite
    is not finite, as training diverges.
    """
    eps, logits = (
        np.finfo(dtype).eps,
        np.array([-1e3, -30, 0, 30, 1e3, np.nan, np.inf, -np.inf], dtype),
    )
    for n in (2, 40):  # the one by lanes, the other by rows
        x = np.full((len(logits), n), -1e30, dtype)
        x[:, 0], x[:, 1] = logits, 0
        rows, dx, free = np.empty(len(x), dtype), np.empty_like(x), np.empty_like(x)
        loops(dtype).loss(CODES["CROSS_ENTROPY"], -1, rows, dx, x, np.zeros(len(x), np.int64), None)
        loops(dtype).loss(
            CODES["CROSS_ENTROPY"], 0, None, free, x, np.zeros(len(x), np.int64), None
        )
        np.testing.assert_allclose(
            rows[:5],
            np.logaddexp(0, -logits[:5].astype(np.float64)).clip(eps, -np.log(eps)),
            rtol=1e-6,
            atol=eps / 2,
        )
        assert not np.isfinite(rows[5:]).any()
        np.testing.assert_array_equal(dx, free)
    x, t = (
        np.stack([logits, -logits], axis=1),
        np.broadcast_to(np.array([1, 0], dtype), (len(logits), 2)).copy(),
    )
    rows, dx, free = np.empty(len(x), dtype), np.empty_like(x), np.empty_like(x)
    loops(dtype).loss(CODES["BCE"], -1, rows, dx, x, None, t)
    loops(dtype).loss(CODES["BCE"], 0, None, free, x, None, t)
    with np.errstate(over="ignore"):
        p = (1 / (1 + np.exp(-x[:5]))).clip(eps, 1 - eps)
    np.testing.assert_allclose(
        rows[:5], np.where(t[:5] == 1, -np.log(p), -np.log(1 - p)).mean(axis=1), rtol=1e-6
    )
    assert not np.isfinite(rows[5:]).any()
    np.testing.assert_array_equal(dx, free)
