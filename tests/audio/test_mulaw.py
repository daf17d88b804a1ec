import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vqspeech.audio import mulaw


def formula(x: float) -> int:
    """The class of x, written as the paper has it, one sample at a time."""
    curved = np.sign(x) * np.log(1 + 255 * abs(x)) / np.log(256)
    return int(np.floor((curved + 1) / 2 * 255 + 0.5))


def test_expand_then_compress_gives_back_all_256_classes():
    classes = np.arange(256, dtype=np.uint8)
    assert np.array_equal(mulaw.compress(mulaw.expand(classes)), classes)


@given(st.floats(-1, 1, width=32))
def test_compress_is_the_formula(x):
    assert mulaw.compress(np.array([x], np.float32))[0] == formula(x)


def test_loud_and_strange_samples_stay_classes():
    assert mulaw.compress(np.array([-9.0, 9.0, 1.0, np.float32(1) - 1e-8])).tolist() == [0, 255, 255, 255]
    assert mulaw.SILENCE == formula(0.0) == 128


def test_compress_is_the_formula_on_a_dense_grid():
    grid = np.linspace(-1, 1, 2_000_001)
    for x in (grid, grid.astype(np.float32)):
        assert np.array_equal(mulaw.compress(x), mulaw.formula(x.astype(np.float64)))


def test_classes_change_at_the_borders_and_nowhere_near_them():
    half = (2 * np.arange(255) - 254) / 255  # where F is half-way between two classes
    border = np.sign(half) * np.expm1(np.abs(half) * np.log(256)) / 255
    beside = 1e-12  # beyond what logarithms of different machines differ by
    assert np.array_equal(mulaw.compress(border - beside), np.arange(255))
    assert np.array_equal(mulaw.compress(border + beside), np.arange(1, 256))


def test_the_least_sample_above_a_class_is_exact():
    above, _ = mulaw._borders()
    assert np.array_equal(mulaw.compress(above[:-1]), np.arange(1, 256))
    below = np.minimum(np.nextafter(above[:-1], -2), above[:-1] - 1e-16)  # 1 + x must not be rounded to 1
    assert np.array_equal(mulaw.compress(below), np.arange(255))


def test_what_is_no_number_and_what_is_infinite_stay_within_the_classes():
    x = np.array([np.nan, np.inf, -np.inf, np.nextafter(np.float32(1), np.float32(0))], np.float32)
    assert mulaw.compress(x).tolist() == [0, 255, 0, 255]


def test_shapes_and_strides_are_kept():
    x = np.linspace(-1, 1, 60).reshape(3, 20)
    assert np.array_equal(mulaw.compress(x[:, ::2]), mulaw.compress(x)[:, ::2])
    classes = np.arange(256).reshape(16, 16)
    assert np.array_equal(mulaw.expand(classes.T), mulaw.expand(classes).T)
