"""Memory: where arrays begin, how rows are padded, how named arrays share a vector."""
import doctest

import pytest

from nnjit import memory


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(0,), (3, 5), (1, 511), (64, 64), (65, 129)])
def test_aligned_arrays_are_zeros_and_large_ones_begin_at_a_cache_line(shape, dtype):
    array = memory.aligned(shape, dtype)
    assert array.shape == shape and array.dtype == dtype and not array.any()
    assert array.nbytes < 64 * memory.CACHE_LINE or array.ctypes.data % memory.CACHE_LINE == 0


@pytest.mark.parametrize("shape, dtype, stored", [
    ((3, 3), "float64", (3, 3)), ((3, 4), "float64", (3, 8)), ((3, 8), "float64", (3, 8)),
    ((3, 9), "float64", (3, 16)),
    ((3, 7), "float32", (3, 7)), ((3, 10), "float32", (3, 16)), ((2, 64), "float64", (2, 72)),
    ((2, 128), "float32", (2, 144)), ((5,), "float64", (5,)), ((2, 2, 2, 20), "float64", (2, 2, 2, 20))])
def test_rows_are_padded_to_whole_lines_of_an_odd_number(shape, dtype, stored):
    assert memory.padded_shape(shape, dtype) == stored


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layout_gives_views_that_share_no_number(dtype):
    shapes = {"0.W": (7, 20), "0.b": (20,), "1.b": (0,), "2.W": (3, 3, 2, 5)}
    layout = memory.Layout(shapes, dtype)
    vector, other = layout.zeros(), layout.zeros()
    for number, (name, array) in enumerate(layout.views(vector).items()):
        assert array.shape == shapes[name]
        array[:] = number + 1
    for number, (name, array) in enumerate(layout.stored(vector).items()):
        offset, stored, shape = layout.places[name]
        assert shape == shapes[name] and array.shape == stored == memory.padded_shape(shape, dtype)
        assert offset * array.itemsize % memory.CACHE_LINE == 0
        assert (array[..., :shape[-1]] == number + 1).all() and not array[..., shape[-1]:].any()
    assert not other.any() and vector.size == layout.size


def test_the_example():
    assert doctest.testmod(memory, raise_on_error=True).attempted
