// Payloads against the types that the peers publish: Slack's @slack/types, Discord's discord-api-types, by the TypeScript
// compiler, which refuses members that do not exist. usage: node types.mjs NODE_FOLDER PAYLOADS_FOLDER
//
// Payloads are files slack-*.json, slackapi-*.json, slackatt-*.json, discord-*.json, discordedit-*.json. Before they are
// judged, things known to be wrong must be refused: a checker that accepts everything would be worth nothing.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [nodeFolder, payloadFolder] = process.argv.slice(2).map((p) => path.resolve(p));
const ts = createRequire(path.join(nodeFolder, "x.js"))("typescript");

const prelude = `
import type { KnownBlock, MessageAttachment, MessageMetadata } from "@slack/types";
import type { RESTPatchAPIWebhookWithTokenMessageJSONBody, RESTPostAPIWebhookWithTokenJSONBody } from "discord-api-types/v10";
interface Webhook { text: string; blocks?: KnownBlock[] }
interface Post extends Webhook { channel: string; unfurl_links: boolean; unfurl_media: boolean; metadata: MessageMetadata }
type Attachment = Omit<MessageAttachment, "ts"> & { ts: number };  // their type says text; their API takes numbers
interface Attachments { text: string; username: string; icon_emoji: string; channel?: string; attachments: Attachment[] }
`;
const types = {
  slack: "Webhook",
  slackapi: "Post",
  slackatt: "Attachments",
  discord: "RESTPostAPIWebhookWithTokenJSONBody",
  discordedit: "RESTPatchAPIWebhookWithTokenMessageJSONBody",
};

const header = (text) => ({ text: "x", blocks: [{ type: "header", text }] });
const wrong = [
  ["slack", "a header of mrkdwn", header({ type: "mrkdwn", text: "x" })],
  ["slack", "a member that does not exist", header({ type: "plain_text", text: "x", color: "red" })],
  ["slack", "a button without a text", { text: "x", blocks: [{ type: "actions", elements: [{ type: "button", url: "u" }] }] }],
  ["slack", "a field that is only a string", { text: "x", blocks: [{ type: "section", fields: ["x"] }] }],
  ["slackapi", "a post without a channel", { text: "x", unfurl_links: false, unfurl_media: false }],
  ["discord", "an embed field without a value", { embeds: [{ fields: [{ name: "x" }] }] }],
  ["discord", "mentions of an unknown kind", { allowed_mentions: { parse: ["all"] } }],
  ["discord", "a member that does not exist", { text: "x" }],
  ["discordedit", "a sender in an edit", { username: "x" }],
];

// One program for all: a file for each payload, so that a complaint has a name.
function complaints(entries) {
  const folder = fs.mkdtempSync(path.join(nodeFolder, "types-"));
  try {
    const files = entries.map(([type, , value], i) => {
      const file = path.join(folder, `p${i}.ts`);
      fs.writeFileSync(file, `${prelude}export const it: ${types[type]} = ${JSON.stringify(value)};\n`);
      return file;
    });
    const program = ts.createProgram(files, {
      strict: true, noEmit: true, skipLibCheck: true, types: [], target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
    });
    const found = new Map();
    for (const d of ts.getPreEmitDiagnostics(program)) {
      const at = d.file ? files.indexOf(d.file.fileName) : -1;
      const list = found.get(at) ?? [];
      list.push(ts.flattenDiagnosticMessageText(d.messageText, " "));
      found.set(at, list);
    }
    return found;
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

const payloads = fs.readdirSync(payloadFolder).sort()
  .map((name) => [name.split("-")[0], name, path.join(payloadFolder, name)])
  .filter(([type, name]) => type in types && name.endsWith(".json"))
  .map(([type, name, file]) => [type, name, JSON.parse(fs.readFileSync(file, "utf8"))]);
const found = complaints([...wrong, ...payloads]);
const problems = [];
wrong.forEach(([, what], i) => found.has(i) || problems.push(`was accepted: ${what}`));
payloads.forEach(([, name], i) => found.has(wrong.length + i) && problems.push(`${name}: ${found.get(wrong.length + i)[0]}`));
if (found.has(-1)) problems.push(...found.get(-1));
console.log(JSON.stringify({ checked: payloads.length, refused: wrong.length, problems }));
