"""The Python side of the training benchmark.

Usage: peer.py DIR           answers a line "WORK ROUND" on standard input with the
                             seconds it took and a figure of what came out, as JSON
       peer.py DIR --data    writes x.bin (rows × 20 float64) and y.bin (int64)
       peer.py DIR --memory  fits the logistic regression and prints the process's
                             peak memory in MiB

Estimators have scikit-learn's default number of threads, the forest two workers.
"""

import json
import os
import resource
import sys
import time
import warnings

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

warnings.filterwarnings("ignore")

ROWS, FEATURES, CLASSES = 1_000_000, 20, 5
FOREST_ROWS, HELD_BACK = 100_000, 20_000


def make(folder):
    from sklearn.datasets import make_classification
    from sklearn.preprocessing import StandardScaler

    x, y = make_classification(ROWS, FEATURES, n_informative=12, n_redundant=4, n_classes=CLASSES, random_state=0)
    StandardScaler().fit_transform(x).tofile(os.path.join(folder, "x.bin"))
    y.astype(np.int64).tofile(os.path.join(folder, "y.bin"))


def load(folder):
    x = np.fromfile(os.path.join(folder, "x.bin")).reshape(ROWS, FEATURES)
    return x, np.fromfile(os.path.join(folder, "y.bin"), dtype=np.int64)


def objective(model, x, y):
    penalty = (model.coef_**2).sum() / (2 * model.C * len(y))
    return log_loss(y, model.predict_proba(x)) + penalty


def logistic(x, y, _):
    model = LogisticRegression(max_iter=1000)
    start = time.perf_counter()
    model.fit(x, y)
    return time.perf_counter() - start, lambda: objective(model, x, y)


def boosting(x, y, _):
    model = HistGradientBoostingClassifier(max_iter=10, early_stopping=False)
    start = time.perf_counter()
    model.fit(x, y)
    some = slice(0, FOREST_ROWS)
    return time.perf_counter() - start, lambda: log_loss(y[some], model.predict_proba(x[some]))


def forest(x, y, seed):
    model = RandomForestClassifier(100, n_jobs=2, random_state=seed)
    start = time.perf_counter()
    model.fit(x[:FOREST_ROWS], y[:FOREST_ROWS])
    unseen = slice(FOREST_ROWS, FOREST_ROWS + HELD_BACK)
    return time.perf_counter() - start, lambda: model.score(x[unseen], y[unseen])


def read(folder):
    import pandas

    start = time.perf_counter()
    frame = pandas.read_csv(os.path.join(folder, "data.csv"))
    x, y = frame.iloc[:, :-1].to_numpy(), frame["label"].to_numpy()
    return time.perf_counter() - start, lambda: float(x[:, 0].sum() + len(y))


def serve(folder):
    x, y = load(folder)
    works = {"logistic": logistic, "boosting": boosting, "forest": forest}
    for line in sys.stdin:
        work, seed = line.split()
        seconds, figure = read(folder) if work in ("csv", "digest") else works[work](x, y, int(seed))
        print(json.dumps({"seconds": seconds, "figure": float(figure())}), flush=True)


def memory(folder):
    x, y = load(folder)
    LogisticRegression(max_iter=1000).fit(x, y)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    mode = sys.argv[2] if len(sys.argv) > 2 else ""
    {"--data": make, "--memory": memory, "": serve}[mode](sys.argv[1])
