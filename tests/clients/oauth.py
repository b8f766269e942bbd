"""Logs in with requests-oauthlib and oauthlib's password flow, and predicts."""

import json
import sys

from oauthlib.oauth2 import InvalidGrantError, InvalidScopeError, LegacyApplicationClient, MissingTokenError
from requests_oauthlib import OAuth2Session

address, authority, password = sys.argv[1:]
row = {"features": [5.1, 3.5, 1.4, 0.2]}


def login(scope=None, password=password):
    session = OAuth2Session(client=LegacyApplicationClient(client_id="petal-test", scope=scope))
    session.verify = authority
    token = session.fetch_token(address + "/token", username="student", password=password, verify=authority)
    return session, token


def refusal(**arguments):
    try:
        login(**arguments)
    except (InvalidGrantError, InvalidScopeError, MissingTokenError) as error:
        return {"error": error.error, "description": error.description}


session, token = login()
answer = session.post(address + "/predict", json=row)
answer.raise_for_status()
narrow, narrow_token = login(scope=["predict"])
denied = narrow.get(address + "/model-info")
json.dump(
    {
        "label": answer.json()["label"],
        "type": token["token_type"],
        "scopes": sorted(token.scopes),
        "lifetime": token["expires_in"],
        "narrow": sorted(narrow_token.scopes),
        "narrow_predicts": narrow.post(address + "/predict", json=row).status_code,
        "denied": [denied.status_code, denied.headers["WWW-Authenticate"]],
        "wrong_password": refusal(password="wrong-password"),
        "unknown_scope": refusal(scope=["everything"]),
    },
    sys.stdout,
)
