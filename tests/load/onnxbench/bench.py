"""Trains the models of the benchmark and measures onnxruntime on them.

Usage: bench.py OUT            writes the models, rows.bin and models.json
       bench.py OUT --measure  answers a line "MODEL ROWS" on standard input with
                               the seconds that one pass over the rows took

One thread. The rows are the same 1,000 different ones each pass. With ROWS 1 they
go in one by one, with 1000 at once.
"""

import json
import os
import sys
import time
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
warnings.filterwarnings("ignore")

import numpy as np

N, FEATURES, CLASSES = 1000, 20, 5
PASSES = 20  # over all rows at once: one alone takes less than a tenth of a millisecond


def data(n, seed=1):
    r = np.random.default_rng(seed)
    y = r.integers(0, CLASSES, n)
    centres = np.random.default_rng(0).normal(0, 1, (CLASSES, FEATURES))
    return (centres[y] + r.normal(0, 1.6, (n, FEATURES))).astype(np.float32), y


def models():
    import lightgbm
    import xgboost
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = data(4000)
    binary = (y > 2).astype(int)
    lr = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(x, y)
    forest = RandomForestClassifier(100, max_depth=10, random_state=0, n_jobs=1).fit(x, y)
    boost = GradientBoostingClassifier(n_estimators=500, max_depth=6, subsample=0.3, max_features=4, random_state=0).fit(x, binary)
    big = RandomForestClassifier(100, random_state=0, max_leaf_nodes=520).fit(np.repeat(x, 3, 0) + np.random.default_rng(2).normal(0, 1, (12000, FEATURES)).astype(np.float32), np.repeat(y, 3))
    types = [("X", FloatTensorType([None, FEATURES]))]

    def plain(model):
        last = model.steps[-1][1] if hasattr(model, "steps") else model
        return to_onnx(model, x[:1], options={id(last): {"zipmap": False}}, target_opset={"": 15, "ai.onnx.ml": 3})

    yield "scaler + logistic regression 20×5", "lr", plain(lr)
    yield "random forest 100 × depth 10, 20×5", "forest", plain(forest)
    yield "gradient boosting 500 × depth 6", "boost", plain(boost)
    yield "XGBoost, 300 trees", "xgboost", convert_xgboost(xgboost.XGBClassifier(n_estimators=300, max_depth=6, n_jobs=1).fit(x, binary), initial_types=types, target_opset=15)
    yield "LightGBM, 300 trees", "lightgbm", convert_lightgbm(lightgbm.LGBMClassifier(n_estimators=300, n_jobs=1, verbosity=-1).fit(x, binary), initial_types=types, target_opset=15, zipmap=False)
    yield "forest of 100,000 nodes (loading)", "big", plain(big)


def identity():
    from onnx import TensorProto, helper

    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, FEATURES])
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "identity", [value("X")], [value("Y")])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 15)])


def write(out):
    os.makedirs(out, exist_ok=True)
    entries = []
    for title, name, model in list(models()) + [("identity", "identity", identity())]:
        with open(os.path.join(out, name + ".onnx"), "wb") as f:
            f.write(model.SerializeToString())
        entries.append({"title": title, "name": name})
    data(N, seed=9)[0].tofile(os.path.join(out, "rows.bin"))
    with open(os.path.join(out, "index.json"), "w") as f:
        json.dump({"models": entries, "features": FEATURES}, f)


def measure(out):
    import onnxruntime

    x = np.fromfile(os.path.join(out, "rows.bin"), dtype=np.float32).reshape(N, FEATURES)
    rows = [x[i:i + 1].copy() for i in range(N)]
    sessions = {}
    for line in sys.stdin:
        name, count = line.split()
        if name not in sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            sessions[name] = onnxruntime.InferenceSession(os.path.join(out, name + ".onnx"), options, providers=["CPUExecutionProvider"])
        run = sessions[name].run
        start = time.perf_counter()
        if count == "1":
            for row in rows:
                run(None, {"X": row})
        else:
            for _ in range(PASSES):
                run(None, {"X": x})
        print((time.perf_counter() - start) / (1 if count == "1" else PASSES), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        measure(sys.argv[1])
    else:
        write(sys.argv[1])
