"""What trainer train does with iris, as one writes it with the usual libraries.

Usage: iris.py CSV PARAMS    with the MLflow server or store of MLFLOW_TRACKING_URI

Steps, in both programs: verify the file's digest, read it, hold rows out, cross-
validate the candidates, fit the best, judge it on both sets and against the prior
and the champion, importances, the same pictures, a parent run with a run for each
candidate, the data as an input, the ONNX model with signature and example, a
registered version, and the alias.
"""

import hashlib
import json
import os
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import yaml
from mlflow.exceptions import MlflowException
from skl2onnx import to_onnx
from sklearn.calibration import CalibrationDisplay
from sklearn.dummy import DummyClassifier
from sklearn.inspection import DecisionBoundaryDisplay, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay, accuracy_score, average_precision_score,
    balanced_accuracy_score, f1_score, log_loss, matthews_corrcoef, precision_score, recall_score, roc_auc_score,
)
from sklearn.model_selection import StratifiedKFold, cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, label_binarize

NAME = "iris_python"  # on a server that has Petal's beside it


def main(path, params_path):
    with open(params_path) as f:
        params = yaml.safe_load(f)
    with open(path, "rb") as f:
        md5 = hashlib.md5(f.read()).hexdigest()
    with open(path + ".dvc") as f:
        if yaml.safe_load(f)["outs"][0]["md5"] != md5:
            sys.exit("the data are not those of the pointer")
    data = pd.read_csv(path)
    x, y = data.drop(columns=params["label"]), data[params["label"]]
    split = train_test_split(x, y, test_size=params["test_size"], random_state=params["random_state"], stratify=y)
    mlflow.set_experiment("iris_classification")
    with mlflow.start_run():
        train(data, params, split)


def train(data, params, split):
    x_train, x_test, y_train, y_test = split
    mlflow.log_params({k: v for k, v in params.items() if k != "candidates"})
    mlflow.log_input(mlflow.data.from_pandas(data, source=params["data"], targets=params["label"]), context="training")
    folds = StratifiedKFold(params["n_splits"], shuffle=True, random_state=params["random_state"])
    best, best_loss = None, np.inf
    for number, candidate in enumerate(params["candidates"], 1):
        model = make_pipeline(StandardScaler(), LogisticRegression(**candidate["params"]))
        scores = cross_validate(model, x_train, y_train, cv=folds, scoring=["neg_log_loss", "accuracy"])
        with mlflow.start_run(nested=True, run_name=f"{number:02}-{candidate['estimator']}"):
            mlflow.log_params(candidate["params"])
            for fold, (loss, accuracy) in enumerate(zip(-scores["test_neg_log_loss"], scores["test_accuracy"])):
                mlflow.log_metrics({"fold_log_loss": loss, "fold_accuracy_score": accuracy}, step=fold)
            mlflow.log_metrics({"val_log_loss": -scores["test_neg_log_loss"].mean(), "val_accuracy_score": scores["test_accuracy"].mean()})
        if -scores["test_neg_log_loss"].mean() < best_loss:
            best, best_loss = model, -scores["test_neg_log_loss"].mean()
    best.fit(x_train, y_train)
    mlflow.log_params({"estimator__" + k: v for k, v in best[-1].get_params().items()})
    mlflow.log_metrics(figures("training_", best, x_train, y_train) | figures("test_", best, x_test, y_test))
    prior = DummyClassifier().fit(x_train, y_train)
    mlflow.log_metric("test_prior_log_loss", log_loss(y_test, prior.predict_proba(x_test)))
    importance = permutation_importance(best, x_test, y_test, scoring="neg_log_loss", n_repeats=5, random_state=params["random_state"])
    pictures(best, split, importance)
    mlflow.log_artifact(sys.argv[2])
    mlflow.log_text(data.describe().to_json(), "data_profile.json")
    register(best, x_train, x_test, y_test)


def figures(prefix, model, x, y):
    proba, predicted = model.predict_proba(x), model.predict(x)
    truth = label_binarize(y, classes=model.classes_)
    values = {
        "accuracy_score": accuracy_score(y, predicted),
        "balanced_accuracy_score": balanced_accuracy_score(y, predicted),
        "precision_score": precision_score(y, predicted, average="weighted"),
        "recall_score": recall_score(y, predicted, average="weighted"),
        "f1_score": f1_score(y, predicted, average="weighted"),
        "f1_score_macro": f1_score(y, predicted, average="macro"),
        "log_loss": log_loss(y, proba),
        "roc_auc": roc_auc_score(y, proba, multi_class="ovr"),
        "average_precision_score": average_precision_score(truth, proba),
        "brier_score_loss": ((proba - truth) ** 2).sum(axis=1).mean(),
        "matthews_corrcoef": matthews_corrcoef(y, predicted),
    }
    return {prefix + name: float(value) for name, value in values.items()}


def log(name):
    mlflow.log_figure(plt.gcf(), name)
    plt.close("all")


def pictures(model, split, importance):
    x_train, x_test, y_train, y_test = split
    for name, x, y in (("training", x_train, y_train), ("test", x_test, y_test)):
        ConfusionMatrixDisplay.from_estimator(model, x, y)
        log(f"{name}_confusion_matrix.png")
    proba = model.predict_proba(x_test)
    for name, display in (("roc", RocCurveDisplay), ("precision_recall", PrecisionRecallDisplay), ("calibration", CalibrationDisplay)):
        axes = plt.subplots()[1]
        for k, c in enumerate(model.classes_):
            display.from_predictions(y_test == c, proba[:, k], name=c, ax=axes)
        log(f"plots/{name}.png")
    order = np.argsort(-importance.importances_mean)
    plt.barh(x_test.columns[order], importance.importances_mean[order], xerr=importance.importances_std[order])
    log("plots/importance.png")
    for i, column in enumerate(x_train.columns[order]):
        for c in model.classes_:
            plt.hist(x_train[column][y_train == c], bins=20, histtype="step", label=c)
        plt.legend()
        log(f"plots/histogram_{i + 1:02}.png")
    first, second = x_train.columns[order[:2]]
    plane = np.meshgrid(*(np.linspace(x_train[c].min(), x_train[c].max(), 120) for c in (first, second)))
    grid = pd.DataFrame({c: x_train[c].median() for c in x_train.columns}, index=range(plane[0].size))
    grid[first], grid[second] = plane[0].ravel(), plane[1].ravel()
    classes = np.searchsorted(model.classes_, model.predict(grid)).reshape(plane[0].shape)
    DecisionBoundaryDisplay(xx0=plane[0], xx1=plane[1], response=classes, n_classes=len(model.classes_)).plot()
    for c in model.classes_:
        plt.scatter(x_train[first][y_train == c], x_train[second][y_train == c], s=8, label=c)
    plt.legend()
    log("plots/decision_regions.png")


def register(model, x_train, x_test, y_test):
    exported = to_onnx(model, x_train.to_numpy()[:1].astype(np.float32), target_opset=15)
    session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
    labels, maps = session.run(None, {session.get_inputs()[0].name: x_test.to_numpy(np.float32)})
    if np.abs(pd.DataFrame(maps).to_numpy() - model.predict_proba(x_test)).max() > 1e-5:
        sys.exit("the ONNX model gives other answers")
    example = x_train[:3]
    signature = mlflow.models.infer_signature(example, pd.DataFrame({"label": labels[:3]}))
    client = mlflow.MlflowClient()
    loss = log_loss(y_test, model.predict_proba(x_test))
    try:
        champion = client.get_model_version_by_alias(NAME, "champion")
    except MlflowException:
        champion = None
    promote = champion is None or loss <= float(champion.tags["log_loss"]) + 1e-9
    info = mlflow.onnx.log_model(exported, name="model", signature=signature, input_example=example, registered_model_name=NAME)
    client.set_model_version_tag(NAME, info.registered_model_version, "log_loss", str(loss))
    if promote:
        client.set_registered_model_alias(NAME, "champion", info.registered_model_version)
    print(json.dumps({"version": info.registered_model_version, "log_loss": loss}))


if __name__ == "__main__":
    main(*sys.argv[1:])
