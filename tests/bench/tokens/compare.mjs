// Megabytes a second of the tokenizers of npm, on one text; node compare.mjs FOLDER FILE
// Lines as of speed.c; processor time. tiktoken gets the text in pieces of 4 kB: it slows down with longer ones, so this favours it.
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";

const [folder, file] = [process.argv[2], process.argv[3]];
const require = createRequire(path.resolve(folder, "x.js"));
const text = fs.readFileSync(file, "utf8");
const bytes = Buffer.byteLength(text);
const pieces = [];
for (let i = 0, end; i < text.length; i = end) {
  end = Math.min(text.length, i + 4096);
  while (end < text.length && text[end] !== "\n") end++; // at a line's end the pieces count nearly as the whole does
  pieces.push(text.slice(i, end));
}

const time = (count) => {
  const began = process.cpuUsage();
  const tokens = count();
  const used = process.cpuUsage(began);
  return [bytes / (used.user + used.system), tokens];
};
const measure = (name, count, passes) => {
  const [first, tokens] = time(count);
  let warm = 0;
  for (let i = 0; i < passes; i++) warm = Math.max(warm, time(count)[0]);
  console.log(`${name} tokens ${tokens}\n${name} first ${first.toFixed(1)}\n${name} warm ${warm.toFixed(1)}`);
};

const { get_encoding } = require("tiktoken");
for (const name of ["o200k_base", "cl100k_base"]) {
  const e = get_encoding(name);
  measure(`tiktoken ${name}`, () => pieces.reduce((n, p) => n + e.encode_ordinary(p).length, 0), 2);
  e.free();
  const gpt = require(`gpt-tokenizer/encoding/${name}`);
  measure(`gpt-tokenizer ${name}`, () => pieces.reduce((n, p) => n + gpt.countTokens(p, { allowedSpecial: new Set(), disallowedSpecial: new Set() }), 0), 3);
}
