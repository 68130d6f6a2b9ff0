"""Labelled series: files as archives write them, where they are looked for, what is said if they are nowhere."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from studies.data import DataUnavailable
from studies.tasks import labelled_sets

FILE = """# made by hand
@problemName Toy
@univariate false
@classLabel true up down
@data
1.0,2.0,3.0:4,5,6:up
7,8:9,10:down

"""


def test_a_file_becomes_sequences_of_any_lengths_and_labels(tmp_path):
    path = tmp_path / "Toy_TRAIN.ts"
    path.write_text(FILE)
    series, labels = labelled_sets.read_ts(path)
    assert_array_equal(series[0], [[1, 4], [2, 5], [3, 6]])
    assert_array_equal(series[1], [[7, 9], [8, 10]])
    assert labels.tolist() == ["up", "down"]


def test_files_of_another_environment_are_found(tmp_path, monkeypatch):
    folder = tmp_path / "aeon" / "datasets" / "data" / "Toy"
    folder.mkdir(parents=True)
    for part in ("TRAIN", "TEST"):
        (folder / f"Toy_{part}.ts").write_text(FILE)
    monkeypatch.setattr(labelled_sets, "_folders_here", list)
    monkeypatch.setattr(labelled_sets, "_folders_there", lambda: [tmp_path / "aeon"])
    assert len(labelled_sets.labelled_series("Toy").test) == 2


def test_what_is_nowhere_says_how_it_is_had(monkeypatch):
    monkeypatch.setenv(labelled_sets.OTHER_PYTHON, sys.executable)
    with pytest.raises(DataUnavailable, match=r"NoSuchSet is not on this machine. Install aeon and sktime"):
        labelled_sets.path_of("NoSuchSet", "TRAIN")


def test_digits_are_sequences_with_one_label_each():
    digits = labelled_sets.labelled_series("digits")
    assert digits.train[0].shape == (8, 8) and len(digits.train) == len(digits.train_labels) == 300
    assert set(np.unique(digits.test_labels)) == set(range(10))
