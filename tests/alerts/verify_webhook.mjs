// Deliveries as they came, judged by those who made the formats: npm standardwebhooks verifies signatures, npm cloudevents
// parses events. usage: node verify_webhook.mjs NODE_FOLDER DELIVERIES.json
//
// DELIVERIES is a list of {format, headers, body (base64), secrets}. Each good signature must also fail for a changed body,
// another secret, another id and an old timestamp: a verifier that accepts everything would be worth nothing.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [nodeFolder, file] = process.argv.slice(2).map((p) => path.resolve(p));
const require = createRequire(path.join(nodeFolder, "x.js"));
const { Webhook } = require("standardwebhooks");
const { HTTP } = require("cloudevents");

const OTHER = "whsec_" + Buffer.alloc(32, 7).toString("base64");

function accepts(secret, body, headers) {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

function signatureProblems({ headers, secrets }, body) {
  const list = [];
  for (const secret of secrets) if (!accepts(secret, body, headers)) list.push(`secret ${secrets.indexOf(secret)} does not verify`);
  const old = String(Number(headers["webhook-timestamp"]) - 3600);
  const wrong = [
    ["a changed body", secrets[0], body.replace("}", " }"), headers],
    ["another secret", OTHER, body, headers],
    ["another id", secrets[0], body, { ...headers, "webhook-id": headers["webhook-id"] + "x" }],
    ["an old time", secrets[0], body, { ...headers, "webhook-timestamp": old }],
  ];
  for (const [what, secret, text, fields] of wrong) if (accepts(secret, text, fields)) list.push(`${what} was accepted`);
  return list;
}

function eventProblems({ headers }, body) {
  const list = [];
  const event = HTTP.toEvent({ headers, body });
  if (Array.isArray(event)) return ["is a batch"];
  event.validate();
  if (!event.type.startsWith("dev.bursar.")) list.push(`is of type ${event.type}`);
  if (!event.source.startsWith("/bursar/")) list.push(`is of source ${event.source}`);
  if (!event.subject) list.push("has no subject");
  if (event.data?.id !== event.id) list.push("has other data than its own");
  return list;
}

const deliveries = JSON.parse(fs.readFileSync(file, "utf8"));
const problems = [], events = [];
let signatures = 0;
for (const [i, d] of deliveries.entries()) {
  const body = Buffer.from(d.body, "base64").toString("utf8");
  try {
    if (d.secrets?.length) {
      signatures += d.secrets.length;
      problems.push(...signatureProblems(d, body).map((p) => `${i} ${d.format}: ${p}`));
    }
    if (d.format.startsWith("cloudevents")) {
      problems.push(...eventProblems(d, body).map((p) => `${i} ${d.format}: ${p}`));
      const { id, source, type, subject, time } = HTTP.toEvent({ headers: d.headers, body });
      events.push({ id, source, type, subject, time });
    }
  } catch (e) {
    problems.push(`${i} ${d.format}: ${e.message}`);
  }
}
console.log(JSON.stringify({ deliveries: deliveries.length, signatures, events, problems }));
