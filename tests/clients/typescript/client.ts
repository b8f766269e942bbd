// A client whose types openapi-typescript made of the specification: tsc refuses
// it where the specification says something else, and it prints what it got.
import createClient from "openapi-fetch";
import type { paths } from "./petal.js";

const [url, password] = process.argv.slice(2);
if (!url || !password) throw new Error("usage: client.js URL PASSWORD");
const client = createClient<paths>({ baseUrl: url });

async function login(password: string) {
  return client.POST("/token", {
    body: { username: "student", password, grant_type: "password", scope: "predict" },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    bodySerializer: (form) => new URLSearchParams(form),
  });
}

const token = await login(password);
if (!token.data) throw new Error(token.error.error_description);
const headers = { Authorization: `Bearer ${token.data.access_token}` };

const one = await client.POST("/predict", { headers, body: { features: [5.1, 3.5, 1.4, 0.2] } });
if (!one.data || !("label" in one.data)) throw new Error("no label");
const label: string | number = one.data.label;

const many = await client.POST("/predict", {
  headers,
  params: { query: { top_k: 1, explain: true } },
  body: {
    instances: [
      [5.1, 3.5, 1.4, 0.2],
      { sepal_length: 6.3, sepal_width: 3.3, petal_length: 6.0, petal_width: 2.5 },
    ],
  },
});
if (!many.data || !("predictions" in many.data)) throw new Error("no predictions");
const second = many.data.predictions[1];

const tensors = await client.POST("/v2/models/{model}/infer", {
  headers,
  params: { path: { model: "iris" } },
  body: { inputs: [{ name: "features", datatype: "FP64", shape: [1, 4], data: [5.1, 3.5, 1.4, 0.2] }] },
});
if (typeof tensors.data !== "object") throw new Error("tensors in binary were not asked for");

// What goes wrong has a type, too.
const wrongPassword = await login("wrong-password");
const wrongWidth = await client.POST("/predict", { headers, body: { features: [5.1] } });
const nobody = await client.POST("/predict", { body: { features: [5.1, 3.5, 1.4, 0.2] } });
const denied = await client.GET("/model-info", { headers });

console.log(
  JSON.stringify({
    scope: token.data.scope,
    label,
    secondLabel: second?.label,
    method: second?.explanation?.method,
    tensors: tensors.data.outputs.length,
    wrongPassword: wrongPassword.error?.error,
    wrongWidth: wrongWidth.error?.errors?.[0]?.location,
    nobody: nobody.error?.status,
    denied: denied.error?.type,
  }),
);
