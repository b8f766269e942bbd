"""Answers questions about scikit-learn and onnxruntime, one JSON object a line.

A request is {"call": name, ...arguments}; the answer is what the function of
that name returns. Arrays travel as {"shape": [...], "data": base64 of float64}.
"""

import base64
import json
import sys
import warnings

import numpy as np

warnings.filterwarnings("ignore")


def unpack(value):
    if isinstance(value, dict) and set(value) == {"shape", "data"}:
        flat = np.frombuffer(base64.b64decode(value["data"]), dtype="<f8")
        return flat.reshape(value["shape"]).copy()
    if isinstance(value, dict):
        return {k: unpack(v) for k, v in value.items()}
    return value


def pack(value):
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        data = np.ascontiguousarray(value, dtype="<f8")
        return {"shape": list(data.shape), "data": base64.b64encode(data.tobytes()).decode()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return pack(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: pack(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(v) for v in value]
    return value


def generated(name):
    """Ten made-up data sets, each with a difficulty of its own."""
    from sklearn.datasets import make_blobs, make_circles, make_classification

    rng = np.random.RandomState(7)
    common = dict(n_informative=5, n_redundant=2, class_sep=0.8, random_state=3)
    if name == "imbalanced":
        return make_classification(600, 12, n_classes=3, weights=[0.85, 0.1, 0.05], **common)
    if name == "ten_classes":
        return make_classification(800, 20, n_classes=10, n_informative=10, class_sep=1.5, random_state=3)
    if name == "collinear":
        x, y = make_classification(400, 10, n_classes=3, **common)
        return np.hstack([x, x[:, :3] * 2 + 1, x[:, :1] - x[:, 1:2]]), y
    if name == "constant_columns":
        x, y = make_classification(400, 10, n_classes=2, **common)
        x[:, 3], x[:, 7] = 0.0, 1234.5678
        return x, y
    if name == "missing":
        x, y = make_classification(600, 12, n_classes=3, **common)
        x[rng.rand(*x.shape) < 0.1] = np.nan
        return x, y
    if name == "two_features":
        return make_classification(400, 2, n_informative=2, n_redundant=0, n_classes=2,
                                   n_clusters_per_class=1, class_sep=0.7, random_state=3)
    if name == "noisy_labels":
        return make_classification(500, 15, n_classes=3, flip_y=0.3, **common)
    if name == "unscaled":
        x, y = make_classification(400, 8, n_classes=3, **common)
        return x * 10.0 ** np.arange(-3, 5) + 100.0 * np.arange(8), y
    if name == "few_values":
        x, y = make_classification(500, 8, n_classes=3, **common)
        return np.round(x), y
    if name == "circles":
        return make_circles(400, noise=0.15, factor=0.5, random_state=3)
    raise ValueError(name)


def dataset(name):
    from sklearn import datasets

    if name in ("iris", "wine", "breast_cancer", "digits"):
        x, y = getattr(datasets, "load_" + name)(return_X_y=True)
    else:
        x, y = generated(name)
    return {"x": np.asarray(x, dtype=float), "y": np.asarray(y, dtype=int)}


def targets(name):
    """Data sets whose target is a number."""
    from sklearn import datasets

    rng = np.random.RandomState(11)
    if name == "diabetes":
        x, y = datasets.load_diabetes(return_X_y=True)
    elif name == "friedman":
        x, y = datasets.make_friedman1(500, 8, noise=1.0, random_state=3)
    elif name == "counts":
        x = rng.rand(500, 5)
        y = rng.poisson(np.exp(2 * x[:, 0] + x[:, 1] * x[:, 2]) / 2).astype(float)
    elif name == "skewed":
        x = rng.randn(400, 6)
        y = 1e5 * np.exp(x[:, 0] + 0.5 * np.sin(3 * x[:, 1]) + 0.3 * rng.randn(400))
    elif name == "holes":
        x, y = datasets.make_friedman1(500, 6, noise=1.0, random_state=5)
        x[rng.rand(*x.shape) < 0.1] = np.nan
    else:
        raise ValueError(name)
    return {"x": np.asarray(x, dtype=float), "y": np.asarray(y, dtype=float)}


def categories(rows, seed):
    """Two numbers and two categories (of 12 and of 40, most of them rare), all
    with holes; targets of two classes, of three, and a number."""
    rng = np.random.RandomState(seed)
    x = np.empty((rows, 4))
    x[:, 0], x[:, 2] = rng.rand(rows), rng.rand(rows)
    x[:, 1] = rng.randint(12, size=rows)
    x[:, 3] = np.minimum(rng.exponential(6, size=rows), 39).astype(int)
    effect = rng.randn(12)[x[:, 1].astype(int)] + rng.randn(40)[x[:, 3].astype(int)]
    value = 2 * x[:, 0] + effect + 0.5 * rng.randn(rows)
    three = np.digitize(value, np.quantile(value, [0.3, 0.7]))
    x[rng.rand(rows, 4) < 0.05] = np.nan
    return {"x": x, "value": value, "two": (value > 1).astype(int), "three": three}


def splits(y, test_size, seed, folds):
    from sklearn.model_selection import StratifiedKFold, train_test_split

    y = np.asarray(y, dtype=int)
    train, test = train_test_split(np.arange(len(y)), test_size=test_size, random_state=seed, stratify=y)
    kfold = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return {"train": train, "test": test,
            "folds": [{"train": a, "test": b} for a, b in kfold.split(np.zeros(len(y)), y)]}


def random_state(seed, sizes):
    rng = np.random.RandomState(seed)
    return {"permutations": [rng.permutation(n) for n in sizes], "floats": rng.random_sample(5)}


def scaler(x):
    from sklearn.preprocessing import StandardScaler

    s = StandardScaler().fit(x)
    return {"mean": s.mean_, "scale": s.scale_, "transformed": s.transform(x)}


def logistic(x, y, x_test, c, scaled):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    y = np.asarray(y, dtype=int)
    if scaled:
        s = StandardScaler().fit(x)
        x, x_test = s.transform(x), s.transform(x_test)
    best = None
    for solver in ("newton-cholesky", "lbfgs"):
        m = LogisticRegression(C=c, solver=solver, tol=1e-12, max_iter=50000).fit(x, y)
        loss = -np.log(np.clip(m.predict_proba(x)[np.arange(len(y)), y], 1e-300, 1)).sum()
        objective = loss + 0.5 / c * (m.coef_ ** 2).sum()
        if best is None or objective < best["objective"]:
            intercept = m.intercept_ - (m.intercept_.mean() if len(m.intercept_) > 1 else 0)
            best = {"coef": m.coef_, "intercept": intercept, "objective": float(objective),
                    "proba": m.predict_proba(x_test), "predicted": m.predict(x_test)}
    return best


def gaussian_nb(x, y, x_test):
    from sklearn.naive_bayes import GaussianNB

    return {"proba": GaussianNB().fit(x, np.asarray(y)).predict_proba(x_test)}


def neighbors(x, y, x_test, k):
    """Also tells which rows have a tie between the last neighbour and the next."""
    from sklearn.neighbors import KNeighborsClassifier

    m = KNeighborsClassifier(k).fit(x, np.asarray(y))
    distance, _ = KNeighborsClassifier(k + 1).fit(x, np.asarray(y)).kneighbors(x_test)
    gap = distance[:, k] - distance[:, k - 1]
    return {"proba": m.predict_proba(x_test), "gap": gap / np.maximum(distance[:, k], 1e-300)}


def seeds(estimator, params, x, y, x_test, y_test, count):
    """Accuracy and Brier score on the test rows, for seeds 0 ... count-1."""
    from sklearn import ensemble

    y, y_test = np.asarray(y), np.asarray(y_test)
    scores = []
    for seed in range(count):
        m = getattr(ensemble, estimator)(random_state=seed, **params).fit(x, y)
        proba = m.predict_proba(x_test)
        truth = np.equal.outer(y_test, m.classes_)
        scores.append([(m.classes_[proba.argmax(axis=1)] == y_test).mean(), ((proba - truth) ** 2).sum(axis=1).mean()])
    return {"accuracy": np.array([s[0] for s in scores]), "brier": np.array([s[1] for s in scores])}


def boosting(params, x, y, x_test):
    from sklearn.ensemble import HistGradientBoostingClassifier

    return {"proba": HistGradientBoostingClassifier(**params).fit(x, np.asarray(y)).predict_proba(x_test)}


def regressor(estimator, params, x, y, x_test):
    """What an estimator of numbers predicts, and its coefficients where it has some."""
    from sklearn import dummy, ensemble, linear_model, neighbors

    for module in (dummy, ensemble, linear_model, neighbors):
        if hasattr(module, estimator):
            m = getattr(module, estimator)(**params).fit(x, y)
    return {"value": m.predict(x_test), "coef": getattr(m, "coef_", np.zeros(0)),
            "intercept": float(getattr(m, "intercept_", 0.0))}


def value_seeds(estimator, params, x, y, x_test, y_test, count):
    """Root mean squared error on the test rows, for seeds 0 ... count-1."""
    from sklearn import ensemble
    from sklearn.metrics import root_mean_squared_error

    return {"rmse": np.array([
        root_mean_squared_error(y_test, getattr(ensemble, estimator)(random_state=seed, **params).fit(x, y).predict(x_test))
        for seed in range(count)])}


def value_metrics(y, predicted, quantile):
    from sklearn import metrics as m

    out = {"rmse": m.root_mean_squared_error(y, predicted), "mae": m.mean_absolute_error(y, predicted),
           "median": m.median_absolute_error(y, predicted), "r2": m.r2_score(y, predicted),
           "pinball": m.mean_pinball_loss(y, predicted, alpha=quantile)}
    if (y != 0).all():
        out["mape"] = m.mean_absolute_percentage_error(y, predicted)
    if (y >= 0).all() and (predicted > 0).all():
        out["poisson"] = m.mean_poisson_deviance(y, predicted)
    if (y > 0).all() and (predicted > 0).all():
        out["gamma"] = m.mean_gamma_deviance(y, predicted)
    return out


def shuffle_split(n, test_size, seed):
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(n), test_size=test_size, random_state=seed)
    return {"train": train, "test": test}


def importance(x, y, x_test, y_test, repeats, seed):
    from sklearn.inspection import permutation_importance
    from sklearn.linear_model import LogisticRegression

    m = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(x, np.asarray(y))
    result = permutation_importance(m, x_test, np.asarray(y_test), scoring="neg_log_loss",
                                    n_repeats=repeats, random_state=seed)
    return {"importances": result.importances}


def imputer(x):
    from sklearn.impute import SimpleImputer

    s = SimpleImputer(strategy="median", keep_empty_features=True).fit(x)
    return {"statistics": s.statistics_, "transformed": s.transform(x)}


def metrics(y, proba):
    from sklearn import metrics as m

    y = np.asarray(y, dtype=int)
    labels = list(range(proba.shape[1]))
    predicted = proba.argmax(axis=1)
    out = {
        "accuracy": m.accuracy_score(y, predicted),
        "balanced_accuracy": m.balanced_accuracy_score(y, predicted),
        "log_loss": m.log_loss(y, proba, labels=labels),
        "mcc": m.matthews_corrcoef(y, predicted),
        "brier": m.brier_score_loss(y, proba, labels=labels, scale_by_half=False),
        "confusion": m.confusion_matrix(y, predicted, labels=labels),
    }
    for average in ("macro", "weighted"):
        p, r, f, _ = m.precision_recall_fscore_support(y, predicted, average=average, zero_division=0)
        out[average] = [p, r, f]
    p, r, f, s = m.precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0)
    out["classes"] = [list(row) for row in zip(p, r, f, s)]
    if len(labels) == 2:
        out["roc_auc"] = m.roc_auc_score(y, proba[:, 1])
        out["pr_auc"] = m.average_precision_score(y, proba[:, 1])
    else:
        out["roc_auc"] = m.roc_auc_score(y, proba, multi_class="ovr", labels=labels)
        present = np.unique(y)
        binary = np.equal.outer(y, present).astype(int)
        out["pr_auc"] = m.average_precision_score(binary, proba[:, present])
    return out


def checked_session(model):
    import onnx
    import onnxruntime as ort

    raw = base64.b64decode(model)
    onnx.checker.check_model(raw, full_check=True)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def run_onnx(model, x):
    """Checks a model fully and runs it in onnxruntime."""
    session = checked_session(model)
    labels, maps = session.run(["label", "probabilities"], {"features": x.astype(np.float32)})
    return {"labels": [str(v) for v in labels], "keys": [str(k) for k in maps[0]],
            "proba": np.array([list(row.values()) for row in maps], dtype=float)}


def run_onnx_value(model, x):
    """Checks a model fully and runs it in onnxruntime."""
    session = checked_session(model)
    [value] = session.run(["value"], {"features": x.astype(np.float32)})
    return {"value": value.astype(float)}


def main():
    for line in sys.stdin:
        try:
            request = unpack(json.loads(line))
            call = globals()[request.pop("call")]
            answer = {"ok": pack(call(**request))}
        except Exception as e:  # the caller's test fails with it
            answer = {"error": f"{type(e).__name__}: {e}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
