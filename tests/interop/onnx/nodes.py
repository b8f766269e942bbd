"""Generates the node cases of the onnx package's backend suite.

Usage: nodes.py OUT

Collects onnx/backend/test/case/node of the installed onnx package, keeps the
cases whose inputs and outputs are tensors of types that Petal holds, and writes
OUT/cases.json: a name, the model and the inputs and outputs in base64 a case.
OUT/index.json lists the names of all cases, those left out with the reason.
"""

import base64
import json
import os
import sys
import warnings

warnings.filterwarnings("ignore")

import numpy as np
from onnx.backend.test.case.node import collect_testcases

TYPES = {"float32": "float", "float64": "double"} | {n: n for n in (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")}


def encode(value):
    if not isinstance(value, np.ndarray) and not np.isscalar(value) and not isinstance(value, np.generic):
        return None
    value = np.asarray(value)
    if value.dtype.kind in "OUS":
        return {"type": "string", "shape": list(value.shape), "strings": [v.decode() if isinstance(v, bytes) else str(v) for v in value.ravel()]}
    name = TYPES.get(str(value.dtype))
    if name is None:
        return None
    return {"type": name, "shape": list(value.shape), "data": base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()}


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    cases, index = [], []
    for case in collect_testcases(None):
        entry = {"name": case.name}
        index.append(entry)
        model = case.model
        if model is None or not case.data_sets:
            entry["reason"] = "has no model"
            continue
        operators = sorted({(n.domain + "." if n.domain else "") + n.op_type for n in model.graph.node})
        entry["operators"] = operators
        inputs, outputs = case.data_sets[0]
        encoded = [encode(v) for v in inputs], [encode(v) for v in outputs]
        if None in encoded[0] or None in encoded[1]:
            entry["reason"] = "has values of other types"
            continue
        cases.append({
            "name": case.name, "model": base64.b64encode(model.SerializeToString()).decode(),
            "inputs": encoded[0], "outputs": encoded[1], "rtol": case.rtol, "atol": case.atol,
        })
    with open(os.path.join(out, "cases.json"), "w") as f:
        json.dump({"cases": cases}, f)
    with open(os.path.join(out, "index.json"), "w") as f:
        json.dump({"cases": index}, f)


if __name__ == "__main__":
    main()
