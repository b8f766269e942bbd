"""Asks MLflow's pyfunc and onnxruntime about the same rows for several models.

Reads {"models": {NAME: URI}, "features": [...], "rows": [[...]]} from the file that
is named, with null for a missing value, and prints by name what each says, with
the ONNX file and the classes in the table of its run.
"""

import base64
import json
import pathlib
import sys

import mlflow
import numpy
import onnxruntime
import pandas

with open(sys.argv[1]) as f:
    asked = json.load(f)
rows = numpy.array(asked["rows"], dtype=float)
mlflow.set_experiment("iris_classification")
answers = {}
for name, uri in asked["models"].items():
    predicted = mlflow.pyfunc.load_model(uri).predict(pandas.DataFrame(rows, columns=asked["features"]))
    path = pathlib.Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=name)) / "model.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(None, {"features": rows.astype(numpy.float32)})
    run = mlflow.MlflowClient().get_model_version_by_alias(name, "champion").run_id
    answers[name] = {
        "classes": mlflow.load_table("test_classes.json", run_ids=[run])["class"].tolist(),
        "pyfunc": {"labels": predicted["label"].tolist(), "probabilities": predicted["probabilities"].tolist()},
        "onnxruntime": {"labels": labels.tolist(), "probabilities": probabilities},
        "model": base64.b64encode(path.read_bytes()).decode(),
    }
json.dump(answers, sys.stdout, default=float)
