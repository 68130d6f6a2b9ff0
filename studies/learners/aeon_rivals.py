"""Rivals of another environment, run there as a script: accuracy and seconds of one of them on one set.

``PYTHON aeon_rivals.py RIVAL TRAIN.ts TEST.ts`` prints a JSON object. It imports aeon and nothing of this project.
"""

import json
import sys
import time

import numpy as np


def make(rival):
    """The rival called so, unfitted."""
    if rival == "dtw":
        from aeon.classification.distance_based import KNeighborsTimeSeriesClassifier

        return KNeighborsTimeSeriesClassifier(n_neighbors=1, distance="dtw")
    from aeon.classification.convolution_based import MiniRocketClassifier

    return MiniRocketClassifier(random_state=0)


def padded(series, length):
    """(n, channels, length): zeros behind shorter series, which MiniRocket does not take as they are."""
    return np.stack([np.pad(each, ((0, 0), (0, length - each.shape[1]))) for each in series])


def main(rival, train, test):
    """Fit, predict, and print what came of it."""
    from aeon.datasets import load_from_ts_file

    (X, y), (X_test, y_test) = (load_from_ts_file(path) for path in (train, test))
    if rival == "minirocket":
        length = max(each.shape[1] for each in [*X, *X_test])
        X, X_test = padded(X, length), padded(X_test, length)
    some = np.unique(y, return_index=True)[1]
    make(rival).fit([X[i] for i in some] if isinstance(X, list) else X[some], y[some]).predict(X_test[:1])  # compiles
    start = time.perf_counter()
    accuracy = float(np.mean(make(rival).fit(X, y).predict(X_test) == y_test))
    sys.stdout.write(json.dumps({"accuracy": accuracy, "time_s": time.perf_counter() - start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
