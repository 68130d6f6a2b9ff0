"""A file is read with suspicion: whatever was done to it, a ValueError names it, or it holds what was saved."""

import io
import json
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from optim.saving import FORMAT, load_file, save_file

TREE = {"a": np.arange(5.0), "words": ["λ", None, 2**80], "pair": (1, "x"), "texts": np.array(["b", "cd"])}


def save(path, tree=TREE):
    save_file(path, tree, opener="mine")


def load(path):
    return load_file(path, opener="mine")


def same(one, other):
    np.testing.assert_equal(one, other)
    return True


def refused(path, why="cannot be read as one"):
    with pytest.raises(ValueError, match=why) as caught:
        load(path)
    assert repr(str(path)) in str(caught.value)


def member(shape="(3,)", descr="<f8", body=b"\0" * 24):
    head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + body


def made_by_hand(path, tree, members=None, compression=zipfile.ZIP_STORED):
    text = tree if isinstance(tree, bytes) else json.dumps({"format": FORMAT, "opener": "mine", "tree": tree}).encode()
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("header.npy", member(f"({len(text)},)", "|u1", text))
        for name, content in (members or {}).items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("flip", [0xFF, 0x01])
def test_every_byte_changed_in_turn_is_noticed_or_harmless(tmp_path, flip):
    path, broken = tmp_path / "good.npz", tmp_path / "broken.npz"
    save(path)
    good = path.read_bytes()
    n_noticed = 0
    for i in range(len(good)):
        broken.write_bytes(good[:i] + bytes([good[i] ^ flip]) + good[i + 1 :])
        try:
            assert same(load(broken), TREE)
        except ValueError as error:
            assert str(broken) in str(error)
            n_noticed += 1
    assert n_noticed > 0.7 * len(good)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path, broken = tmp_path / "good.npz", tmp_path / "broken.npz"
    save(path)
    good = path.read_bytes()
    for n in range(0, len(good), 37):
        broken.write_bytes(good[:n])
        refused(broken)
    broken.write_bytes(good[len(good) // 2 :])
    refused(broken)


NESTED = b'{"format": "' + FORMAT.encode() + b'", "opener": "mine", "tree": ' + b"[" * 10**5 + b"]" * 10**5 + b"}"
A = {"array": "a"}
BY_HAND = {
    "not JSON": (b"\xff\xfe{", {}),
    "JSON of something else": (b"[1, 2]", {}),
    "nested deeply": (NESTED, {}),
    "a leaf unknown": ({"shape": 1}, {}),
    "a leaf of two kinds": ({"array": "a", "dict": {}}, {"a": member()}),
    "an array that is not there": (A, {}),
    "an array used twice": ([A, A], {"a": member()}),
    "an array used by nothing": ([], {"a": member()}),
    "a name unhashable": ({"array": []}, {"a": member()}),
    "a generator unknown": ({"generator": {"dict": {"bit_generator": "os.system"}}}, {}),
    "a generator of nonsense": ({"generator": {"dict": {"bit_generator": "PCG64", "state": 3}}}, {}),
    "a record unknown": ({"record": "Popen", "fields": {}}, {}),
    "a dtype of objects": ({"dtype": "O"}, {}),
    "objects in an array": (A, {"a": member("(3,)", "|O")}),
    "a shape of 2**60": (A, {"a": member(f"({2**60},)")}),
    "a shape whose product wraps": (A, {"a": member(f"({2**32}, {2**32})", body=b"")}),
    "items of no length": (A, {"a": member(f"({10**12},)", "<U0", b"")}),
    "too short": (A, {"a": member("(4,)")}),
    "too long": (A, {"a": member("(2,)")}),
    "no array": (A, {"a": b"#!/bin/sh"}),
    "nothing": (A, {"a": b""}),
    "characters that are none": (A, {"a": member("(6,)", "<U1", b"\xff" * 24)}),
    "a bool that is 2": (A, {"a": member("(24,)", "|b1", b"\2" * 24)}),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_file_made_by_hand_is_refused(tmp_path, name):
    tree, members = BY_HAND[name]
    refused(made_by_hand(tmp_path / "hand.npz", tree, members))


def test_the_files_made_by_hand_are_refused_for_what_is_in_them(tmp_path):
    assert same(load(made_by_hand(tmp_path / "hand.npz", A, {"a": member()})), np.zeros(3))


def test_compressed_parts_are_refused(tmp_path):
    zeros = member("(10000000,)", body=bytes(8 * 10**7))
    refused(made_by_hand(tmp_path / "bomb.npz", A, {"a": zeros}, zipfile.ZIP_DEFLATED), "compressed|longer")


def test_a_load_allocates_little_more_than_the_file_is_long(tmp_path):
    path = tmp_path / "run.npz"
    save(path, [np.zeros(10**6), np.arange(10**6)])
    tracemalloc.start()
    load(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1.2 * path.stat().st_size


def test_files_of_others_and_of_other_versions_are_told(tmp_path):
    path = tmp_path / "run.npz"
    save(path)
    with pytest.raises(ValueError, match=r"for yours, got .*run.npz.* one for 'mine'; open it with that"):
        load_file(path, opener="yours")
    np.savez(path, a=np.ones(3))
    refused(path, "no 'header'")
    np.save(path.with_suffix(".npy"), np.ones(3))
    refused(path.with_suffix(".npy"))


def test_what_is_not_there_is_no_broken_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere.npz")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_a_device_is_not_read():
    refused("/dev/zero", "something else")


def test_the_file_is_an_npz_without_code(tmp_path):
    save(tmp_path / "run.npz")
    with np.load(tmp_path / "run.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind != "O" for name in arrays.files)
        assert json.load(io.BytesIO(arrays["header"].tobytes()))["format"] == FORMAT
    assert os.listdir(tmp_path) == ["run.npz"]
