"""The same contract as an ordinary FastAPI application with scikit-learn."""

import jwt
import numpy as np
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

KEY = "mT4kW8zQ1vX6cN9rY3bL7jH2gP5sD0fA"
data = load_iris()
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
names = [str(name) for name in data.target_names]
app = FastAPI()


class Row(BaseModel):
    features: list[float] = Field(min_length=4, max_length=4)


def user(credentials: HTTPAuthorizationCredentials = Depends(HTTPBearer())) -> str:
    try:
        return jwt.decode(credentials.credentials, KEY, algorithms=["HS256"])["sub"]
    except jwt.PyJWTError as error:
        raise HTTPException(401) from error


@app.get("/ready")
def ready():
    return {"status": "ready"}


@app.post("/predict")
async def predict(row: Row, _: str = Depends(user)):
    probabilities = model.predict_proba(np.array([row.features]))[0]
    best = int(probabilities.argmax())
    return {
        "label": names[best],
        "class_index": best,
        "probabilities": dict(zip(names, map(float, probabilities))),
        "model": {"name": "iris", "version": "3"},
    }
