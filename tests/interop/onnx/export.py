"""Exports models of real estimators, with what onnxruntime answers to hard rows.

Usage: export.py OUT [JOBS]

Trains classifiers and regressors of scikit-learn, XGBoost and LightGBM on small
data, converts them with skl2onnx and onnxmltools, runs each file in onnxruntime
on ordinary rows and on hard ones (missing values, infinities, denormals, extreme
values, exact thresholds of trees), and writes one OUT/<case>/ a model:
model.onnx and case.json. OUT/index.json lists all cases, those that did not
convert included, with the reason.
"""

import base64
import json
import multiprocessing
import os
import sys
import traceback
import warnings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

onnxruntime.set_default_logger_severity(4)

NAMES = {
    "int": [3, 7, 11],
    "text": ["no", "maybe", "yes"],
    "unicode": ["été", "日本", "🌷 tulip"],
}


def rng(seed):
    return np.random.default_rng(seed)


def blobs(n, features, classes, seed=7, positive=False, counts=False):
    """Noisy classes that no model separates completely."""
    r = rng(seed)
    y = r.integers(0, classes, n)
    y[:classes] = np.arange(classes)
    centres = r.normal(0, 1.5, (classes, features))
    x = centres[y] + r.normal(0, 1.2, (n, features))
    if positive:
        x = np.abs(x)
    if counts:
        x = np.floor(np.abs(x) * 2)
    return x.astype(np.float32), y


def curve(n, features, targets=1, seed=11, positive=False):
    r = rng(seed)
    x = r.normal(0, 1, (n, features)).astype(np.float32)
    y = np.stack([x @ r.normal(0, 1, features) + np.sin(2 * x[:, t % features]) + r.normal(0, 0.1, n) for t in range(targets)], 1)
    if positive:
        y = np.exp(0.3 * y) + 0.1
    return x, (y[:, 0] if targets == 1 else y)


def labelled(y, style, classes):
    names = NAMES[style]
    if classes == 2:
        names = [names[0], names[2]]
    return np.array(names)[y]


# --- cases -----------------------------------------------------------------

CLASSIFIER_VARIANTS = [
    # name, classes, labels, zipmap, element
    ("multi-int-zipmap", 3, "int", True, "float"),
    ("binary-text-plain", 2, "text", False, "float"),
    ("multi-unicode-columns", 3, "unicode", "columns", "float"),
    ("binary-int-double", 2, "int", False, "double"),
    ("multi-text-double", 3, "text", False, "double"),
    ("binary-unicode-zipmap", 2, "unicode", True, "float"),
]

REGRESSOR_VARIANTS = [("one-float", 1, "float"), ("one-double", 1, "double"), ("two-float", 2, "float")]

# Estimators that need other estimators, and faster settings for slow ones.
def classifier_arguments(name):
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.tree import DecisionTreeClassifier

    lr, tree, nb = LogisticRegression(), DecisionTreeClassifier(max_depth=3, random_state=0), GaussianNB()
    return {
        "ClassifierChain": None,
        "MultiOutputClassifier": None,
        "FixedThresholdClassifier": {"estimator": lr},
        "TunedThresholdClassifierCV": {"estimator": lr},
        "OneVsOneClassifier": {"estimator": lr},
        "OneVsRestClassifier": {"estimator": lr},
        "OutputCodeClassifier": {"estimator": lr},
        "SelfTrainingClassifier": {"estimator": lr},
        "StackingClassifier": {"estimators": [("lr", lr), ("tree", tree)]},
        "VotingClassifier": {"estimators": [("lr", lr), ("nb", nb)], "voting": "soft", "flatten_transform": False},
        "AdaBoostClassifier": {"n_estimators": 10},
        "BaggingClassifier": {"n_estimators": 6, "random_state": 0},
        "ExtraTreesClassifier": {"n_estimators": 20, "random_state": 0},
        "RandomForestClassifier": {"n_estimators": 20, "random_state": 0},
        "GradientBoostingClassifier": {"n_estimators": 20, "random_state": 0},
        "HistGradientBoostingClassifier": {"max_iter": 20, "random_state": 0},
        "MLPClassifier": {"max_iter": 60, "random_state": 0, "hidden_layer_sizes": (12,)},
        "GaussianProcessClassifier": {"random_state": 0},
        "RadiusNeighborsClassifier": {"radius": 50.0},
        "SVC": {"probability": True, "random_state": 0},
        "NuSVC": {"probability": True, "random_state": 0},
        "LogisticRegressionCV": {"Cs": 2},
    }.get(name, {})


def regressor_arguments(name):
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.tree import DecisionTreeRegressor

    linear, tree = LinearRegression(), DecisionTreeRegressor(max_depth=3, random_state=0)
    return {
        "RegressorChain": {"estimator": linear},
        "MultiOutputRegressor": {"estimator": tree},
        "StackingRegressor": {"estimators": [("lr", linear), ("tree", tree)]},
        "VotingRegressor": {"estimators": [("lr", linear), ("ridge", Ridge())]},
        "AdaBoostRegressor": {"n_estimators": 10, "random_state": 0},
        "BaggingRegressor": {"n_estimators": 6, "random_state": 0},
        "ExtraTreesRegressor": {"n_estimators": 20, "random_state": 0},
        "RandomForestRegressor": {"n_estimators": 20, "random_state": 0},
        "GradientBoostingRegressor": {"n_estimators": 20, "random_state": 0},
        "HistGradientBoostingRegressor": {"max_iter": 20, "random_state": 0},
        "MLPRegressor": {"max_iter": 60, "random_state": 0, "hidden_layer_sizes": (12,)},
        "RadiusNeighborsRegressor": {"radius": 50.0},
        "RANSACRegressor": {"random_state": 0},
        "TheilSenRegressor": {"random_state": 0, "max_iter": 20},
    }.get(name, {})


POSITIVE = {"MultinomialNB", "ComplementNB", "PoissonRegressor", "GammaRegressor", "TweedieRegressor"}
COUNTS = {"CategoricalNB"}


def sklearn_classifier(name, variant):
    from sklearn.utils import all_estimators

    estimator = dict(all_estimators("classifier"))[name]
    arguments = classifier_arguments(name)
    if arguments is None:
        raise SkipCase("predicts several labels at once")
    _, classes, labels, zipmap, element = variant
    x, y = blobs(160, 5, classes, positive=name in POSITIVE, counts=name in COUNTS)
    if name == "BernoulliNB":
        x = x + 0
    model = estimator(**arguments).fit(x, labelled(y, labels, classes))
    return convert_sklearn(model, x, zipmap, element)


def sklearn_regressor(name, variant):
    from sklearn.utils import all_estimators

    estimator = dict(all_estimators("regressor"))[name]
    _, targets, element = variant
    multi = name.startswith("MultiTask") or name in ("RegressorChain", "MultiOutputRegressor")
    if multi and targets == 1:
        raise SkipCase("needs several targets")
    x, y = curve(160, 5, targets, positive=name in POSITIVE)
    try:
        model = estimator(**regressor_arguments(name)).fit(x, y)
    except Exception as fault:
        raise SkipCase("does not fit these targets: %s" % first_line(fault))
    return convert_sklearn(model, x, None, element)


def convert_sklearn(model, x, zipmap, element, opset=None):
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    kind = FloatTensorType if element == "float" else DoubleTensorType
    options = None
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    if zipmap is not None:
        options = {id(last): {"zipmap": zipmap}}
    arguments = dict(initial_types=[("X", kind([None, x.shape[1]]))], target_opset=opset or {"": 18, "ai.onnx.ml": 3})
    try:
        file = to_onnx(model, options=options, **arguments)
    except (NameError, ValueError) as fault:
        if "zipmap" not in str(fault):
            raise
        file = to_onnx(model, **arguments)  # This estimator does not have the option.
    return file, x.astype(np.float32 if element == "float" else np.float64)


def pipeline_cases():
    """Preprocessors before a classifier, of which some read several columns."""
    from sklearn import preprocessing as pre
    from sklearn.decomposition import PCA, TruncatedSVD, KernelPCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.feature_selection import SelectKBest, VarianceThreshold
    from sklearn.impute import SimpleImputer, KNNImputer
    from sklearn.kernel_approximation import Nystroem

    return {
        "StandardScaler": pre.StandardScaler(),
        "StandardScaler-no-mean": pre.StandardScaler(with_mean=False),
        "MinMaxScaler": pre.MinMaxScaler(),
        "MinMaxScaler-clip": pre.MinMaxScaler(clip=True),
        "MaxAbsScaler": pre.MaxAbsScaler(),
        "RobustScaler": pre.RobustScaler(),
        "Normalizer-l1": pre.Normalizer("l1"),
        "Normalizer-l2": pre.Normalizer("l2"),
        "Normalizer-max": pre.Normalizer("max"),
        "Binarizer": pre.Binarizer(threshold=0.25),
        "KBinsDiscretizer-ordinal": pre.KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf"),
        "KBinsDiscretizer-onehot": pre.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
        "PolynomialFeatures": pre.PolynomialFeatures(2),
        "PowerTransformer": pre.PowerTransformer(),
        "QuantileTransformer": pre.QuantileTransformer(n_quantiles=20),
        "FunctionTransformer": pre.FunctionTransformer(),
        "SimpleImputer-mean": SimpleImputer(),
        "SimpleImputer-constant": SimpleImputer(strategy="constant", fill_value=-1),
        "KNNImputer": KNNImputer(n_neighbors=2),
        "PCA": PCA(3),
        "TruncatedSVD": TruncatedSVD(3),
        "KernelPCA": KernelPCA(3, kernel="rbf"),
        "Nystroem": Nystroem(n_components=8, random_state=0),
        "SelectKBest": SelectKBest(k=3),
        "VarianceThreshold": VarianceThreshold(),
        "LDA-transform": LinearDiscriminantAnalysis(n_components=2),
    }


def sklearn_pipeline(name, variant):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    last, element = variant
    x, y = blobs(160, 5, 3)
    if last == "lr":
        model = LogisticRegression()
    else:
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(10, max_depth=6, random_state=0)
    pipeline = Pipeline([("prepare", pipeline_cases()[name]), ("model", model)]).fit(x, labelled(y, "text", 3))
    return convert_sklearn(pipeline, x, element == "float", element)


def column_transformer(name, variant):
    """Named inputs of different types: numbers, whole numbers and text."""
    import pandas as pd
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    r = rng(5)
    n = 200
    frame = pd.DataFrame({
        "age": r.normal(40, 12, n).astype(np.float32),
        "income": np.exp(r.normal(10, 1, n)).astype(np.float32),
        "rooms": r.integers(1, 7, n).astype(np.int64),
        "city": np.array(["Lyon", "Paris", "Köln", "東京"])[r.integers(0, 4, n)],
        "colour": np.array(["red", "blue"])[r.integers(0, 2, n)],
    })
    y = (frame["age"] / 40 + frame["rooms"] + (frame["city"] == "Lyon") + r.normal(0, 1, n)).to_numpy()
    encoder = OneHotEncoder(handle_unknown="ignore") if "onehot" in name else OrdinalEncoder()
    numbers = Pipeline([("impute", SimpleImputer()), ("scale", StandardScaler())]) if "impute" in name else StandardScaler()
    prepare = ColumnTransformer([("numbers", numbers, ["age", "income"]), ("text", encoder, ["city", "colour"]), ("rest", "passthrough", ["rooms"])])
    model = {
        "lr": LogisticRegression(max_iter=400), "forest": RandomForestClassifier(10, max_depth=5, random_state=0),
        "ridge": Ridge(), "boost": GradientBoostingRegressor(n_estimators=10, random_state=0),
    }[variant[0]]
    target = np.digitize(y, np.quantile(y, [0.4, 0.7])) if variant[0] in ("lr", "forest") else y
    pipeline = Pipeline([("prepare", prepare), ("model", model)]).fit(frame, target)
    kinds = {"age": FloatTensorType, "income": FloatTensorType, "rooms": Int64TensorType, "city": StringTensorType, "colour": StringTensorType}
    options = {id(model): {"zipmap": variant[1]}} if variant[0] in ("lr", "forest") else None
    file = to_onnx(pipeline, initial_types=[(c, kinds[c]([None, 1])) for c in frame.columns], options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    inputs = {}
    for c in frame.columns:
        values = frame[c].to_numpy()
        inputs[c] = (values.astype(object) if values.dtype == object or str(values.dtype).startswith("str") else values).reshape(-1, 1)
    if "onehot" in name:
        inputs["city"][:3, 0] = ["nowhere", "", "lyon"]
    return file, inputs


XGBOOST = {
    "binary": dict(kind="classifier", classes=2),
    "multi": dict(kind="classifier", classes=3),
    "binary-deep": dict(kind="classifier", classes=2, max_depth=9, n_estimators=40),
    "binary-stump": dict(kind="classifier", classes=2, max_depth=1, n_estimators=40),
    "binary-dart": dict(kind="classifier", classes=2, booster="dart"),
    "binary-missing": dict(kind="classifier", classes=2, missing_values=True),
    "multi-missing": dict(kind="classifier", classes=3, missing_values=True),
    "binary-base-score": dict(kind="classifier", classes=2, base_score=0.2),
    "binary-hinge": dict(kind="classifier", classes=2, objective="binary:hinge"),
    "binary-logitraw": dict(kind="classifier", classes=2, objective="binary:logitraw"),
    "multi-softmax": dict(kind="classifier", classes=3, objective="multi:softmax"),
    "forest-binary": dict(kind="forest", classes=2),
    "forest-multi": dict(kind="forest", classes=3),
    "regressor": dict(kind="regressor"),
    "regressor-missing": dict(kind="regressor", missing_values=True),
    "regressor-deep": dict(kind="regressor", max_depth=9, n_estimators=40),
    "regressor-linear": dict(kind="regressor", booster="gblinear"),
    "regressor-poisson": dict(kind="regressor", objective="count:poisson", positive=True),
    "regressor-tweedie": dict(kind="regressor", objective="reg:tweedie", positive=True),
    "regressor-gamma": dict(kind="regressor", objective="reg:gamma", positive=True),
    "regressor-logistic": dict(kind="regressor", objective="reg:logistic", unit=True),
    "regressor-huber": dict(kind="regressor", objective="reg:pseudohubererror"),
    "regressor-mae": dict(kind="regressor", objective="reg:absoluteerror"),
    "forest-regressor": dict(kind="forest-regressor"),
    "ranker": dict(kind="ranker"),
}


def gradient_boosting(library, name, variant):
    settings = dict((XGBOOST if library == "xgboost" else LIGHTGBM)[name])
    kind, classes = settings.pop("kind"), settings.pop("classes", 0)
    holes, positive, unit = settings.pop("missing_values", False), settings.pop("positive", False), settings.pop("unit", False)
    settings.setdefault("n_estimators", 25)
    seed = variant[0]
    if classes:
        x, y = blobs(250, 6, classes, seed=seed)
    else:
        x, y = curve(250, 6, seed=seed, positive=positive)
        if unit:
            y = 1 / (1 + np.exp(-y))
    if holes:
        x[rng(3).random(x.shape) < 0.15] = np.nan
    if settings.pop("categories", False):
        x[:, 2] = rng(9).integers(0, 7, len(x))
        settings["categorical_feature"] = [2]
    if library == "xgboost":
        model = xgboost_model(kind, settings, x, y)
    else:
        model = lightgbm_model(kind, settings, x, y)
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    types = [("X", FloatTensorType([None, x.shape[1]]))]
    if library == "xgboost":
        file = convert_xgboost(model, initial_types=types, target_opset=15)
    else:
        file = convert_lightgbm(model, initial_types=types, target_opset=15, zipmap=variant[1])
    return file, x


def xgboost_model(kind, settings, x, y):
    import xgboost

    settings.setdefault("max_depth", 4)
    common = dict(settings, n_jobs=1, random_state=0)
    if settings.get("booster") == "gblinear":
        common.pop("max_depth")
    if kind == "ranker":
        return xgboost.XGBRanker(**common).fit(x, np.digitize(y, [-1, 1]), group=[50] * 5)
    kinds = {"classifier": xgboost.XGBClassifier, "forest": xgboost.XGBRFClassifier, "regressor": xgboost.XGBRegressor, "forest-regressor": xgboost.XGBRFRegressor}
    return kinds[kind](**common).fit(x, y)


LIGHTGBM = {
    "binary": dict(kind="classifier", classes=2),
    "multi": dict(kind="classifier", classes=3),
    "binary-dart": dict(kind="classifier", classes=2, boosting_type="dart"),
    "binary-goss": dict(kind="classifier", classes=2, data_sample_strategy="goss"),
    "binary-forest": dict(kind="classifier", classes=2, boosting_type="rf", bagging_freq=1, bagging_fraction=0.7),
    "multi-forest": dict(kind="classifier", classes=3, boosting_type="rf", bagging_freq=1, bagging_fraction=0.7),
    "binary-missing": dict(kind="classifier", classes=2, missing_values=True),
    "multi-missing": dict(kind="classifier", classes=3, missing_values=True),
    "binary-zero-missing": dict(kind="classifier", classes=2, missing_values=True, zero_as_missing=True),
    "binary-categories": dict(kind="classifier", classes=2, categories=True),
    "multi-categories": dict(kind="classifier", classes=3, categories=True),
    "multi-ova": dict(kind="classifier", classes=3, objective="multiclassova"),
    "binary-deep": dict(kind="classifier", classes=2, num_leaves=63, min_child_samples=2),
    "regressor": dict(kind="regressor"),
    "regressor-missing": dict(kind="regressor", missing_values=True),
    "regressor-categories": dict(kind="regressor", categories=True),
    "regressor-l1": dict(kind="regressor", objective="l1"),
    "regressor-poisson": dict(kind="regressor", objective="poisson", positive=True),
    "regressor-tweedie": dict(kind="regressor", objective="tweedie", positive=True),
    "regressor-gamma": dict(kind="regressor", objective="gamma", positive=True),
    "regressor-quantile": dict(kind="regressor", objective="quantile"),
    "regressor-forest": dict(kind="regressor", boosting_type="rf", bagging_freq=1, bagging_fraction=0.7),
}


def lightgbm_model(kind, settings, x, y):
    import lightgbm

    common = dict(settings, n_jobs=1, random_state=0, verbosity=-1)
    categories = common.pop("categorical_feature", None)
    estimator = lightgbm.LGBMClassifier if kind == "classifier" else lightgbm.LGBMRegressor
    fit = {"categorical_feature": categories} if categories else {}
    return estimator(**common).fit(x, y, **fit)


class SkipCase(Exception):
    """The combination makes no sense: it is no case at all."""


def all_cases():
    from sklearn.utils import all_estimators

    for name, _ in all_estimators("classifier"):
        for variant in CLASSIFIER_VARIANTS:
            yield "sklearn", name, variant[0], "classifier", sklearn_classifier, (name, variant)
    for name, _ in all_estimators("regressor"):
        for variant in REGRESSOR_VARIANTS:
            yield "sklearn", name, variant[0], "regressor", sklearn_regressor, (name, variant)
    for name in pipeline_cases():
        for variant in (("lr", "float"), ("forest", "float"), ("lr", "double")):
            yield "sklearn", "Pipeline " + name, "-".join(variant), "pipeline", sklearn_pipeline, (name, variant)
    for name in ("columns-onehot", "columns-ordinal", "columns-impute-onehot"):
        for variant in (("lr", True), ("lr", False), ("forest", "columns"), ("ridge", None), ("boost", None)):
            yield "sklearn", "Pipeline " + name, "%s-%s" % variant, "pipeline", column_transformer, (name, variant)
    for library, table in (("xgboost", XGBOOST), ("lightgbm", LIGHTGBM)):
        for name, settings in table.items():
            for variant in ((21, True), (22, False)):
                kind = "classifier" if settings.get("classes") else "regressor"
                yield library, name, "seed%d-%s" % (variant[0], "zipmap" if variant[1] else "plain"), kind, gradient_boosting, (library, name, variant)


# --- rows ------------------------------------------------------------------

def thresholds(file, features):
    """The (feature, value) pairs on which the trees of a file branch."""
    found = []
    for node in file.graph.node:
        a = {x.name: x for x in node.attribute}
        if "nodes_featureids" in a and "nodes_values" in a:
            for feature, value, mode in zip(a["nodes_featureids"].ints, a["nodes_values"].floats, a["nodes_modes"].strings):
                if mode != b"LEAF" and feature < features:
                    found.append((feature, value))
    return found


def hard_rows(file, x):
    """Rows to be told apart from ordinary ones: a failure there is named."""
    r = rng(31)
    base = x[r.integers(0, len(x), 40)].copy()
    n, f = base.shape
    groups = {"ordinary": x[:60]}
    ties = base.copy()
    pairs = thresholds(file, f)
    if pairs:
        for i in range(n):
            for feature, value in (pairs[k] for k in r.integers(0, len(pairs), f)):
                ties[i, feature] = np.float32(value)
        groups["ties"] = ties
    for name, values in {
        "missing": [np.nan],
        "infinite": [np.inf, -np.inf],
        "denormal": [1e-40, -1e-42, 1e-45, 0.0, -0.0],
        "extreme": [3e38, -3e38, 1e30, -1e20],
        "large": [1e4, -1e5, 1e6],
    }.items():
        rows = base[:12].copy()
        for i in range(len(rows)):
            for j in r.choice(f, r.integers(1, f + 1), replace=False):
                rows[i, j] = values[r.integers(0, len(values))]
        groups[name] = rows
    return groups


# --- writing ---------------------------------------------------------------

def encode(value):
    """A value as JSON: numbers in base64, strings and maps as they are."""
    if isinstance(value, list):  # ZipMap's maps
        keys = list(value[0]) if value else []
        scores = np.array([[row[k] for k in keys] for row in value], dtype=np.float32)
        order = sorted(range(len(keys)), key=lambda i: keys[i])
        return {"maps": [keys[i] for i in order], "scores": encode(np.ascontiguousarray(scores[:, order]))}
    value = np.asarray(value)
    if value.dtype.kind in "OUS":
        return {"type": "string", "shape": list(value.shape), "strings": [str(v) for v in value.ravel()]}
    names = {"float32": "float", "float64": "double", "int64": "int64", "int32": "int32", "bool": "bool"}
    return {"type": names[str(value.dtype)], "shape": list(value.shape), "data": base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()}


def session(data):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def first_line(fault):
    return ("%s: %s" % (type(fault).__name__, fault)).splitlines()[0][:200]


def run_case(job):
    out, (library, name, variant, kind, make, arguments) = job
    entry = {"library": library, "estimator": name, "variant": variant, "kind": kind}
    entry["id"] = "%s-%s-%s" % (library, name.replace(" ", "-"), variant)
    try:
        try:
            file, data = make(*arguments)
        except SkipCase as reason:
            entry["skipped"] = str(reason)
            return entry
        except Exception as fault:
            entry["unconverted"] = first_line(fault)
            return entry
        raw = file.SerializeToString()
        try:
            s = session(raw)
        except Exception as fault:
            entry["unloadable"] = first_line(fault)
            return entry
        folder = os.path.join(out, entry["id"])
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "model.onnx"), "wb") as f:
            f.write(raw)
        groups = {"ordinary": data} if isinstance(data, dict) else {g: {"X": x} for g, x in hard_rows(file, data).items()}
        runs = []
        for group, inputs in groups.items():
            feeds = {i.name: inputs[i.name if i.name in inputs else "X"] for i in s.get_inputs()}
            try:
                outputs = s.run(None, feeds)
            except Exception as fault:
                if group == "ordinary":
                    entry["unloadable"] = first_line(fault)
                    return entry
                runs.append({"group": group, "fault": first_line(fault)})
                continue
            runs.append({
                "group": group, "inputs": {k: encode(v) for k, v in feeds.items()},
                "outputs": [encode(v) for v in outputs],
            })
        with open(os.path.join(folder, "case.json"), "w") as f:
            json.dump({"runs": runs}, f)
        return entry
    except Exception:
        entry["unconverted"] = "the exporter failed: " + traceback.format_exc()[-300:]
        return entry


def main():
    out = sys.argv[1]
    jobs = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    os.makedirs(out, exist_ok=True)
    work = [(out, case) for case in all_cases()]
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        entries = pool.map(run_case, work, chunksize=4)
    with open(os.path.join(out, "index.json"), "w") as f:
        json.dump({"cases": entries}, f, indent=1, ensure_ascii=False)


if __name__ == "__main__":
    main()
