// Adaptive cards against Microsoft's own reader: nothing unknown, nothing missing, and no function of the card's text
// language in what names contain. usage: node cards.mjs NODE_FOLDER PAYLOADS_FOLDER   (teams-*.json)
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [nodeFolder, payloadFolder] = process.argv.slice(2).map((p) => path.resolve(p));
const require = createRequire(path.join(nodeFolder, "x.js"));
const AC = require("adaptivecards/dist/adaptivecards.js");
// Written as a module in a package that is none.
const formatter = fs.readFileSync(path.join(nodeFolder, "node_modules/adaptivecards/lib/text-formatters.js"), "utf8");
const { formatText } = await import("data:text/javascript," + encodeURIComponent(formatter));

function texts(value, out = []) {
  if (typeof value === "string") out.push(value);
  else if (value && typeof value === "object") Object.values(value).forEach((v) => texts(v, out));
  return out;
}

function complaints(card) {
  const context = new AC.SerializationContext(AC.Versions.v1_4);
  const read = new AC.AdaptiveCard();
  read.parse(card, context);
  const list = [];
  for (let i = 0; i < context.eventCount; i++) list.push(context.getEventAt(i).message);
  list.push(...read.validateProperties().validationEvents.map((e) => e.message));
  if (read.getItemCount() !== card.body.length) list.push(`${read.getItemCount()} of ${card.body.length} elements were read`);
  if (read.getActionCount() !== (card.actions ?? []).length) list.push("not all actions were read");
  for (const text of texts(card)) if (formatText("en", text) !== text) list.push(`is a function: ${text}`);
  return list;
}

function problemsOf(message) {
  const list = [];
  if (message.type !== "message" || message.attachments?.length !== 1) return ["is no message with one card"];
  const [attachment] = message.attachments;
  if (attachment.contentType !== "application/vnd.microsoft.card.adaptive") list.push("is no adaptive card");
  if (attachment.content.version !== "1.4") list.push("is of another version");
  return list.concat(complaints(attachment.content));
}

const card = (...body) => ({ type: "AdaptiveCard", version: "1.4", body });
const wrong = [
  ["an unknown element", card({ type: "Blink", text: "x" })],
  ["a size that does not exist", card({ type: "TextBlock", text: "x", size: "Gigantic" })],
  ["an action without a URL", { ...card(), actions: [{ type: "Action.OpenUrl", title: "x" }] }],
  ["an input without a name", card({ type: "Input.Text" })],
  ["a function in a text", card({ type: "TextBlock", text: "{{DATE(2026-01-01T00:00:00Z, SHORT)}}" })],
];

const problems = [];
for (const [what, bad] of wrong) if (complaints(bad).length === 0) problems.push(`was accepted: ${what}`);
const names = fs.readdirSync(payloadFolder).filter((n) => n.startsWith("teams-") && n.endsWith(".json")).sort();
for (const name of names)
  for (const problem of problemsOf(JSON.parse(fs.readFileSync(path.join(payloadFolder, name), "utf8"))))
    problems.push(`${name}: ${problem}`);
console.log(JSON.stringify({ checked: names.length, refused: wrong.length, problems }));
