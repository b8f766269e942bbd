"""Gives the ONNX model beside it the columns of a pandas DataFrame.

MLflow imports this file for mlflow.pyfunc.load_model and mlflow models serve. A
number is a 32-bit float, NaN where it is missing; everything else is text, empty
where it is missing. pandas 2 and 3 store texts differently: both are read.
"""

import numpy
import onnxruntime
import pandas


class Model:
    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def predict(self, data, params=None):
        if not isinstance(data, pandas.DataFrame):
            data = pandas.DataFrame(data)
        feed = {}
        for place, column in enumerate(self.session.get_inputs()):
            values = data[column.name] if column.name in data else data.iloc[:, place]
            if column.type == "tensor(string)":
                texts = ["" if pandas.isna(v) else str(v) for v in values]
                feed[column.name] = numpy.array(texts, dtype=object)
            else:
                numbers = pandas.to_numeric(values)
                feed[column.name] = numbers.to_numpy(dtype="float32", na_value=numpy.nan)
        names = [output.name for output in self.session.get_outputs()]
        answers = self.session.run(names, feed)
        return pandas.DataFrame({n: list(a) for n, a in zip(names, answers)}, index=data.index)


def _load_pyfunc(path):
    return Model(path)
