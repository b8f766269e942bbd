"""Trains models with scikit-learn and XGBoost, converts them to ONNX, logs them
with mlflow.onnx.log_model, registers each and gives it the alias champion.

Prints one JSON object: by model name, the features' names, rows, and what
onnxruntime says of the rows: labels and probabilities, or values.

The models "visitors" and "spending" take columns of different types.
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
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
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


# Columns as they come: numbers with gaps, text, whole numbers.
draw = np.random.default_rng(7)
people = pandas.DataFrame({
    "visits": draw.integers(0, 50, 210),
    "city": draw.choice(["Lyon", "Paris", "Besançon"], 210),
    "age": np.where(draw.random(210) < 0.1, np.nan, draw.uniform(18, 90, 210)).astype("float32"),
})
spent = people["visits"] * 3 + (people["city"] == "Lyon") * 40 + people["age"].fillna(50)
bought = np.where(spent + draw.normal(0, 20, 210) > 130, "yes", "no")


def columns(model, labels):
    """Converts a pipeline with a typed input a column."""
    pipeline = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["city"]),
            (make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
            (StandardScaler(), ["visits"])),
        model).fit(people, labels)
    return to_onnx(pipeline, initial_types=[
        ("age", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1])), ("visits", Int64TensorType([None, 1]))])


MODELS = {
    "logistic": (skl(make_pipeline(StandardScaler(), LogisticRegression()), species), x),
    "forest": (skl(RandomForestClassifier(20, random_state=1), y), x),
    "bayes": (skl(GaussianNB(), species), x),  # not on the fast path
    "boosted": (xgb(XGBClassifier(n_estimators=20, max_depth=3), y), x),
    "ridge": (skl(Ridge(), progress, diabetes), diabetes),
    "boosted-values": (xgb(XGBRegressor(n_estimators=20, max_depth=3), progress, diabetes), diabetes),
    "visitors": (columns(LogisticRegression(), bought), people),
    "spending": (columns(Ridge(), spent), people),
    "no-signature": (skl(LogisticRegression(max_iter=500), species), x),
}


def answers(model, rows):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    if len(inputs) == 1:
        feed = {inputs[0].name: rows}
    else:
        feed = {i.name: rows[[i.name]].to_numpy() for i in inputs}
    outputs = session.run(None, feed)
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
    frame = rows if isinstance(rows, pandas.DataFrame) else pandas.DataFrame(rows, columns=NAMES)
    said = answers(model, rows)
    output = np.asarray(said.get("values", said.get("labels")))
    signature = None if name == "no-signature" else infer_signature(frame, output)
    with mlflow.start_run():
        mlflow.onnx.log_model(
            model, name="model", signature=signature, registered_model_name=name,
            input_example=None if signature is None else frame[:3],
            # Given, they need not be found in another Python, which takes seconds.
            pip_requirements=mlflow.onnx.get_default_pip_requirements())
    version = client.search_model_versions(f"name='{name}'")[0].version
    client.set_registered_model_alias(name, "champion", version)
    result[name] = {
        "features": [{"name": c.name, "type": c.type.name} for c in signature.inputs] if signature
        else [{"name": f"f{i}", "type": "float"} for i in range(4)],
        "rows": json.loads(frame.to_json(orient="values", double_precision=15)), **said}
print("RESULT" + json.dumps(result))
