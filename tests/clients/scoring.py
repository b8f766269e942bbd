"""Sends bodies to MLflow's own scoring code and to Petal, and compares."""

import json
import math
import sys
import urllib.error
import urllib.request

import mlflow.pyfunc
from mlflow.pyfunc import scoring_server

folder, address, token = sys.argv[1:]
model = mlflow.pyfunc.load_model(folder)
schema = model.metadata.get_input_schema()
names = [column.name for column in schema]
rows = [[5.1, 3.5, 1.4, 0.2], [5.9, 2.8, 4.3, 1.3], [6.7, 3.3, 5.7, 2.5]]
records = [dict(zip(names, row)) for row in rows]
example = json.load(open(folder + "/serving_input_example.json"))
csv = ",".join(names) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
JSON, CSV = "application/json", "text/csv"

bodies = {
    "the model's own example": (JSON, example),
    "split": (JSON, {"dataframe_split": {"columns": names, "index": [3, 1, 2], "data": rows}}),
    "split, shuffled": (JSON, {"dataframe_split": {"columns": names[::-1], "data": [row[::-1] for row in rows]}}),
    "split, another column": (JSON, {"dataframe_split": {"columns": names + ["id"], "data": [row + ["a"] for row in rows]}}),
    "split, no rows": (JSON, {"dataframe_split": {"columns": names, "data": []}}),
    "records": (JSON, {"dataframe_records": records}),
    "records, text": (JSON, {"dataframe_records": [{n: str(v) for n, v in r.items()} for r in records]}),
    "records, whole numbers": (JSON, {"dataframe_records": [dict.fromkeys(names, 2)]}),
    "records and params": (JSON, {"dataframe_records": records, "params": {"x": 1}}),
    "instances": (JSON, {"instances": records}),
    "inputs, columns": (JSON, {"inputs": {n: [r[n] for r in records] for n in names}}),
    "inputs, one row": (JSON, {"inputs": records[0]}),
    "inputs, records": (JSON, {"inputs": records}),
    "CSV": (CSV, csv),
    "CSV, CRLF": (CSV, csv.replace("\n", "\r\n")),
    "two forms": (JSON, {"inputs": records, "instances": records}),
    "no form": (JSON, {"x": 1}),
    "a list": (JSON, rows),
    "broken": (JSON, '{"inputs":'),
    "a missing column": (JSON, {"dataframe_records": [{names[0]: 1.0}]}),
    "text": (JSON, {"dataframe_records": [dict.fromkeys(names, "tall")]}),
    "another type": ("text/plain", "x"),
}


def petal(content_type, body):
    request = urllib.request.Request(
        address + "/invocations", body.encode(), {"Content-Type": content_type, "Authorization": "Bearer " + token})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def close(a, b):
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, float):
        return isinstance(b, float) and math.isclose(a, b, abs_tol=1e-6)
    return a == b


answered = refused = 0
for name, (content_type, body) in bodies.items():
    body = body if isinstance(body, str) else json.dumps(body)
    try:
        theirs = scoring_server.invocations(body, content_type, model, schema)
        want, text = theirs.status, theirs.response
    except Exception as error:  # what the server around it turns into a 400
        want, text = 400, str(error)
    status, answer = petal(content_type, body)
    assert status == want, f"{name}: Petal says {status} {answer}, MLflow {want} {text}"
    if status == 200:
        assert close(json.loads(text), json.loads(answer)), f"{name}: Petal says {answer}, MLflow {text}"
        answered += 1
    else:
        assert set(json.loads(answer)) == {"error_code", "message"}, answer
        refused += 1
print(json.dumps({"answered": answered, "refused": refused}))
