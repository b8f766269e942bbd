package training

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/petal-ml/petal/tests/testenv"
)

// scikitLearn does with scikit-learn what a training does: the same split, the
// same pipeline, taken to the optimum, and the figures by sklearn.metrics.
const scikitLearn = `
import json, sys
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import *
from sklearn.model_selection import StratifiedKFold, cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

table = pd.read_csv(sys.argv[1])
y = table.pop("species")
x_train, x_test, y_train, y_test = train_test_split(table, y, test_size=0.2, random_state=42, stratify=y)
model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, tol=1e-12, max_iter=10000))
folds = StratifiedKFold(5, shuffle=True, random_state=42)
val = cross_validate(model, x_train, y_train, cv=folds, scoring=["neg_log_loss", "f1_macro", "roc_auc_ovr", "matthews_corrcoef"])
model.fit(x_train, y_train)
out = {}
for scorer, name, sign in (("neg_log_loss", "log_loss", -1), ("f1_macro", "f1_score_macro", 1), ("roc_auc_ovr", "roc_auc", 1), ("matthews_corrcoef", "matthews_corrcoef", 1)):
    out["val_" + name], out["val_" + name + "_std"] = sign * val["test_" + scorer].mean(), val["test_" + scorer].std()
for prefix, x, y in (("training_", x_train, y_train), ("test_", x_test, y_test)):
    label, proba = model.predict(x), model.predict_proba(x)
    precision, recall, f1, _ = precision_recall_fscore_support(y, label, average="weighted")
    for name, value in {
        "accuracy_score": accuracy_score(y, label),
        "balanced_accuracy_score": balanced_accuracy_score(y, label),
        "precision_score": precision, "recall_score": recall, "f1_score": f1,
        "precision_score_macro": precision_score(y, label, average="macro"),
        "recall_score_macro": recall_score(y, label, average="macro"),
        "f1_score_macro": f1_score(y, label, average="macro"),
        "average_precision_score": average_precision_score(pd.get_dummies(y), proba),
        "brier_score_loss": ((proba - pd.get_dummies(y)) ** 2).to_numpy().sum(axis=1).mean(),
        "log_loss": log_loss(y, proba),
        "roc_auc": roc_auc_score(y, proba, multi_class="ovr"),
        "matthews_corrcoef": matthews_corrcoef(y, label),
    }.items():
        out[prefix + name] = value
print(json.dumps(out))
`

// The figures that a run logs are those of scikit-learn, run live on the same
// file.
func TestFiguresAgreeWithScikitLearn(t *testing.T) {
	b := newBench(t)
	req := b.irisRequest(t)
	file, err := filepath.Abs(req.Params.Data)
	require.NoError(t, err)
	var want map[string]float64
	require.NoError(t, json.Unmarshal(testenv.RunPython(t, scikitLearn, nil, file), &want))
	require.Len(t, want, 34)

	result, err := b.trainer.Train(t.Context(), req)
	require.NoError(t, err)
	record, _, err := b.store.ReadRun(result.RunID)
	require.NoError(t, err)
	for name, value := range want {
		require.Len(t, record.Metrics[name], 1, name)
		assert.InDelta(t, value, record.Metrics[name][0].Value, 1e-6, name)
	}
}
