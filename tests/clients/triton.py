"""Asks Petal through tritonclient[http] as it comes, and prints what it says."""

import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

address, token = sys.argv[1:]
# Each call gets a copy: the client leaves the length of its JSON in the headers.
headers = {"Authorization": "Bearer " + token}
client = triton.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("iris", headers=headers)
metadata = client.get_model_metadata("iris", headers=headers)
assert [i["name"] for i in metadata["inputs"]] == ["features"], metadata
version = metadata["versions"][0]
rows = np.array([[5.1, 3.5, 1.4, 0.2], [5.9, 2.8, 4.3, 1.3], [6.7, 3.3, 5.7, 2.5]])
answers = []


def ask(datatype, dtype, inputs_binary, outputs, **more):
    tensor = triton.InferInput("features", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows.astype(dtype), binary_data=inputs_binary)
    got = client.infer("iris", [tensor], outputs=outputs, headers=dict(headers), request_id="7", **more)
    assert got.get_response()["id"] == "7" and got.get_response()["model_version"] == version
    labels = [label.decode() if isinstance(label, bytes) else label for label in got.as_numpy("label").tolist()]
    answers.append({"labels": labels, "probabilities": got.as_numpy("probabilities").astype(float).tolist()})


ask("FP32", np.float32, True, None)
ask("FP64", np.float64, True, None, model_version=version)
ask("FP64", np.float64, False, None)
for binary in (True, False):
    ask("FP32", np.float32, not binary, [triton.InferRequestedOutput(n, binary_data=binary) for n in ("probabilities", "label")])

columns = []
for i, name in enumerate(["sepal_length", "sepal_width", "petal_length", "petal_width"]):
    column = triton.InferInput(name, [len(rows)], "FP32")
    column.set_data_from_numpy(rows[:, i].astype(np.float32))
    columns.append(column)
pending = [client.async_infer("iris", columns, headers=dict(headers)) for _ in range(3)]
for request in pending:
    got = request.get_result()
    answers.append({"labels": [label.decode() for label in got.as_numpy("label").tolist()],
                    "probabilities": got.as_numpy("probabilities").astype(float).tolist()})

try:
    client.infer("tulips", columns, headers=dict(headers))
    raise SystemExit("a model that does not exist answered")
except InferenceServerException as error:
    assert "no such model" in error.message(), error.message()
try:
    client.infer("iris", columns)
    raise SystemExit("no token was needed")
except InferenceServerException as error:
    assert "token" in error.message(), error.message()
print(json.dumps(answers))
