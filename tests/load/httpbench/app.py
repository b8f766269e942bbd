"""The same contract as an ordinary FastAPI application with scikit-learn.

What Petal counts and logs beside that is left out here, in favour of this side.
"""

from datetime import datetime, timedelta, timezone
from typing import Annotated

import jwt
import numpy as np
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm, SecurityScopes
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

KEY = "mT4kW8zQ1vX6cN9rY3bL7jH2gP5sD0fA"
hasher = PasswordHasher()
users = {"student": hasher.hash("tulips by the window 7")}
data = load_iris()
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
names = [str(name) for name in data.target_names]
app = FastAPI()
bearer = OAuth2PasswordBearer("token", scopes={"predict": "", "model:read": ""})


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid")
    features: list[FiniteFloat] = Field(min_length=4, max_length=4)


class ModelRef(BaseModel):
    name: str
    version: str


class Prediction(BaseModel):
    label: str
    class_index: int
    probabilities: dict[str, float]
    model: ModelRef


def user(wanted: SecurityScopes, token: Annotated[str, Depends(bearer)]) -> str:
    challenge = {"WWW-Authenticate": "Bearer"}
    try:
        claims = jwt.decode(token, KEY, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.PyJWTError as error:
        raise HTTPException(401, "invalid token", challenge) from error
    if not set(wanted.scopes) <= set(claims.get("scope", "").split()):
        raise HTTPException(403, "insufficient scope", challenge)
    return claims["sub"]


@app.get("/ready")
def ready():
    return {"status": "ready"}


@app.post("/token")
def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
    try:
        hasher.verify(users[form.username], form.password)
    except (KeyError, VerifyMismatchError) as error:
        raise HTTPException(400, "invalid_grant") from error
    scope = " ".join(form.scopes) or "predict model:read"
    claims = {"sub": form.username, "scope": scope, "exp": datetime.now(timezone.utc) + timedelta(minutes=30)}
    return {"access_token": jwt.encode(claims, KEY), "token_type": "bearer", "expires_in": 1800, "scope": scope}


@app.post("/predict")
async def predict(row: Row, _: Annotated[str, Security(user, scopes=["predict"])]) -> Prediction:
    probabilities = model.predict_proba(np.array([row.features]))[0]
    best = int(probabilities.argmax())
    return Prediction(
        label=names[best],
        class_index=best,
        probabilities=dict(zip(names, map(float, probabilities))),
        model=ModelRef(name="iris", version="3"),
    )
