"""Loads a model that Petal wrote with MLflow, onnx and onnxruntime, and prints
what each says of every row of a CSV file, as one JSON object.

Usage: load.py MODEL_URI CSV LABEL_COLUMN
"""

import json
import pathlib
import sys

import mlflow
import onnx
import onnxruntime
import pandas

uri, table, label = sys.argv[1:]
frame = pandas.read_csv(table)
features = frame.drop(columns=[label])

model = mlflow.pyfunc.load_model(uri)
predicted = model.predict(features)
# By name, not by place: a shuffled frame must give the same.
shuffled = model.predict(features[features.columns[::-1]])

folder = pathlib.Path(mlflow.artifacts.download_artifacts(artifact_uri=uri))
graph = onnx.load(folder / "model.onnx")
onnx.checker.check_model(graph, full_check=True)

session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
(entry,) = session.get_inputs()
labels, probabilities = session.run(None, {entry.name: features.to_numpy("float32")})

info = model.metadata
json.dump(
    {
        "rows": features.to_numpy().tolist(),
        "expected": frame[label].tolist(),
        "pyfunc": {
            "labels": predicted["label"].tolist(),
            "probabilities": predicted["probabilities"].tolist(),
        },
        "shuffled": {
            "labels": shuffled["label"].tolist(),
            "probabilities": shuffled["probabilities"].tolist(),
        },
        "onnxruntime": {
            "labels": [str(one) for one in labels],
            "probabilities": probabilities,
        },
        "input": entry.name,
        "outputs": [one.name for one in session.get_outputs()],
        "signature": [column.name for column in info.signature.inputs],
        "flavors": sorted(info.flavors),
        "example": model.input_example.to_dict("records") if model.input_example is not None else None,
    },
    sys.stdout,
    default=float,
)
