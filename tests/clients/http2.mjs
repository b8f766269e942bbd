// On one connection over HTTP/2: ten rounds of ten good requests and one that is
// refused, for each way of refusing. Prints how many answers came, by status.
import http2 from "node:http2";
import fs from "node:fs";

const [address, authority, token] = process.argv.slice(2);
const row = '{"features":[5.1,3.5,1.4,0.2]}';
const refused = {
  401: { authorization: "Bearer none" },
  404: { ":path": "/nowhere" },
  413: { body: " ".repeat(70000) },
  415: { "content-type": "text/plain" },
};
const result = {};
for (const [status, { body, ...headers }] of Object.entries(refused)) {
  const session = http2.connect(address, { ca: fs.readFileSync(authority) });
  const answers = { sessions: 1 };
  const count = (what) => (answers[what] = (answers[what] ?? 0) + 1);
  session.on("goaway", () => count("goaway"));
  session.on("error", (error) => count(error.code));
  const ask = (headers = {}, body = row) =>
    new Promise((done) => {
      const stream = session.request({
        ":method": "POST", ":path": "/predict", "content-type": "application/json", authorization: "Bearer " + token, ...headers,
      });
      let answer = "none";
      stream.on("response", (h) => (answer = h[":status"]));
      stream.on("error", (error) => (answer = error.code));
      stream.on("close", () => done(count(answer)));
      stream.resume();
      stream.end(body);
    });
  for (let round = 0; round < 10; round++) {
    const good = Array.from({ length: 10 }, () => ask());
    await Promise.all([...good, ask(headers, body)]);
  }
  session.close();
  result[status] = answers;
}
console.log(JSON.stringify(result));
