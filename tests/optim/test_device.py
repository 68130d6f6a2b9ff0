"""Namespaces of arrays, the way to the host, and devices."""

import sys
import types

import array_api_strict as strict
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from optim.device import check_device, namespace, to_host


def test_numpy_arrays_and_scalars_are_numpy():
    assert namespace(np.ones(3)) is np
    assert namespace(np.float64(1.0), np.ones(2), np.int64(3)) is np
    assert namespace(np.ones(3)[:0], np.ma.masked_array([1.0])) is np


@pytest.mark.parametrize("others", [(), (None,), (1, 2.0, True, 1j, None)])
def test_without_arrays_it_is_numpy(others):
    assert namespace(*others) is np


def test_scalars_and_none_belong_everywhere():
    x = strict.ones(3)
    assert namespace(x, 1, 2.0, False, 1j, None) is strict
    assert namespace(None, 1, x, x) is strict


def test_arrays_of_two_places_are_refused():
    with pytest.raises(TypeError, match="must live in one place, got array_api_strict and numpy; move them"):
        namespace(np.ones(2), strict.ones(2))


@pytest.mark.parametrize("value", [[1.0, 2.0], (1,), "text", {1: 2}, object()])
def test_what_is_no_array_is_refused_by_its_type(value):
    with pytest.raises(TypeError, match=f"got {type(value).__name__}; convert it with numpy.asarray"):
        namespace(value)
    with pytest.raises(TypeError, match="array"):
        namespace(np.ones(2), value)


def test_to_host_returns_numpy_as_it_is():
    x = np.arange(6.0).reshape(2, 3)[:, ::2]
    assert to_host(x) is x


def test_to_host_brings_values_and_type():
    for host in (to_host(strict.asarray([1.0, 2.0], dtype=strict.float32)), to_host([1.0, 2.0])):
        assert type(host) is np.ndarray
        assert_array_equal(host, [1.0, 2.0])
    assert to_host(strict.asarray([1.0], dtype=strict.float32)).dtype == np.float32


class Imported(Exception):
    """CuPy was asked for."""


def test_arrays_of_cupy_ask_for_cupy(monkeypatch):
    class Foreign:
        pass

    Foreign.__module__ = "cupy._core.core"

    def no_cupy():
        raise Imported

    monkeypatch.setattr("optim.device._cupy", no_cupy)
    with pytest.raises(Imported):
        namespace(Foreign())
    with pytest.raises(Imported):
        to_host(Foreign())


def test_the_processor_is_there():
    assert check_device(None) is None
    assert check_device("cpu") is None


def test_a_gpu_needs_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"CuPy must be installed .*pip install 'reservoir-hf\[gpu\]'"):
        check_device("gpu")


def test_a_gpu_needs_a_card(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(is_available=lambda: False))
    with pytest.raises(
        RuntimeError, match="device='gpu' needs an NVIDIA GPU and its driver, got a CuPy that finds none"
    ):
        check_device("gpu")
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(is_available=lambda: True))
    assert check_device("gpu") is None


@pytest.mark.parametrize("device", ["cuda", "CPU", "", 0])
def test_other_devices_are_refused(device):
    with pytest.raises(ValueError, match=f"device must be None, 'cpu' or 'gpu', got {device!r}"):
        check_device(device)
