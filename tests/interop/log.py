"""Trains models with scikit-learn and XGBoost, converts them to ONNX, logs them
with mlflow.onnx.log_model, registers each and gives it the alias champion.

Prints one JSON object: by model name, the features' names, rows, and what
onnxruntime says of the rows: labels and probabilities, or values.
"""

import json
import warnings

warnings.filterwarnings("ignore")

import mlflow
import numpy as np
import onnxruntime
import pandas
from mlflow.models import infer_signature
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as XGBoostFloats
from skl2onnx import to_onnx
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier, XGBRegressor

NAMES = ["sepal length (cm)", "sepal width (cm)", "Blütenlänge", "petal_width"]

iris = load_iris()
x, y = iris.data.astype("float32"), iris.target
species = iris.target_names[y]
diabetes, progress = load_diabetes(return_X_y=True)
diabetes = diabetes[:, :4].astype("float32")


def skl(model, labels, rows=x):
    return to_onnx(model.fit(rows, labels), rows[:1])


def xgb(model, labels, rows=x):
    return convert_xgboost(model.fit(rows, labels), initial_types=[("X", XGBoostFloats([None, rows.shape[1]]))])


MODELS = {
    "logistic": (skl(make_pipeline(StandardScaler(), LogisticRegression()), species), x),
    "forest": (skl(RandomForestClassifier(20, random_state=1), y), x),
    "bayes": (skl(GaussianNB(), species), x),  # not on the fast path
    "boosted": (xgb(XGBClassifier(n_estimators=20, max_depth=3), y), x),
    "ridge": (skl(Ridge(), progress, diabetes), diabetes),
    "boosted-values": (xgb(XGBRegressor(n_estimators=20, max_depth=3), progress, diabetes), diabetes),
    "no-signature": (skl(LogisticRegression(max_iter=500), species), x),
}


def answers(model, rows):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: rows})
    if len(outputs) == 1:
        return {"values": np.asarray(outputs[0], "float64").ravel().tolist()}
    labels, scores = outputs
    if not isinstance(scores, list):  # a matrix, without ZipMap
        scores = [dict(enumerate(row)) for row in scores]
    return {
        "labels": [v.item() if hasattr(v, "item") else v for v in labels],
        "probabilities": [{str(k): float(v) for k, v in row.items()} for row in scores],
    }


client = mlflow.MlflowClient()
mlflow.set_experiment("elsewhere")
result = {}
for name, (model, data) in MODELS.items():
    rows = data[::7]
    frame = pandas.DataFrame(rows, columns=NAMES)
    said = answers(model, rows)
    output = np.asarray(said.get("values", said.get("labels")))
    signature = None if name == "no-signature" else infer_signature(frame, output)
    with mlflow.start_run():
        mlflow.onnx.log_model(
            model, name="model", signature=signature, registered_model_name=name,
            input_example=None if signature is None else frame[:3])
    version = client.search_model_versions(f"name='{name}'")[0].version
    client.set_registered_model_alias(name, "champion", version)
    result[name] = {"features": NAMES if signature else [f"f{i}" for i in range(4)], "rows": rows.tolist(), **said}
print("RESULT" + json.dumps(result))
