"""Checkpoints: what goes in comes out bit for bit, and a kill never leaves half a file."""

import os

import numpy as np
import pytest

from optim import load_checkpoint, save_checkpoint


def test_a_tree_comes_back_bit_for_bit(tmp_path):
    tree = {
        "none": None,
        "numbers": [True, 7, 0.1, float("inf"), -0.0, 2**100],
        "text": "λ",
        "arrays": {"single": np.linspace(0, 1, 5, dtype=np.float32), "empty": np.empty((0, 3)), "scalar": np.array(2)},
        "numpy scalar": np.float64(0.1),
    }
    save_checkpoint(tmp_path / "run.npz", tree)
    back = load_checkpoint(tmp_path / "run.npz")
    assert list(back) == list(tree)
    assert back["numbers"] == tree["numbers"] and np.signbit(back["numbers"][4])
    assert back["none"] is None and back["text"] == "λ" and back["numpy scalar"] == 0.1
    for name, array in tree["arrays"].items():
        np.testing.assert_array_equal(back["arrays"][name], array)
        assert back["arrays"][name].dtype == array.dtype


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.Philox, np.random.MT19937, np.random.SFC64])
def test_a_generator_goes_on_where_it_was(tmp_path, kind):
    rng = np.random.Generator(kind(3))
    rng.standard_normal(5)
    rng.integers(0, 10, dtype=np.uint32)  # leaves half a word behind
    save_checkpoint(tmp_path / "rng.npz", rng)
    back = load_checkpoint(tmp_path / "rng.npz")
    np.testing.assert_array_equal(back.integers(0, 1000, 9), rng.integers(0, 1000, 9))


def test_a_kill_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    save_checkpoint(path, {"iteration": 1})

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    for name, place in (("savez", np), ("fsync", os), ("replace", os)):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, killed)
            with pytest.raises(KeyboardInterrupt):
                save_checkpoint(path, {"iteration": 2})
        assert load_checkpoint(path) == {"iteration": 1}
        assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_nothing_is_unpickled(tmp_path):
    with pytest.raises(TypeError, match=r"what is saved must be None, .* got object"):
        save_checkpoint(tmp_path / "run.npz", {"thing": object()})
    with pytest.raises(TypeError, match="got ndarray of object"):
        save_checkpoint(tmp_path / "run.npz", np.array([[object()]]))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "run.npz"
    path.write_bytes(b"nothing of ours")
    with pytest.raises(ValueError, match="cannot be read as one"):
        load_checkpoint(path)
    np.savez(path, a=np.ones(2))
    with pytest.raises(ValueError, match="cannot be read as one"):
        load_checkpoint(path)
    np.savez(path, header=np.frombuffer(b'{"format": "reservoir-hf file 9", "tree": 1}', np.uint8))
    with pytest.raises(ValueError, match=r"must be a file of format .* got 'reservoir-hf file 9'"):
        load_checkpoint(path)
