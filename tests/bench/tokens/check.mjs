// Random texts with what npm tiktoken (the vendor's own code) makes of them, for tests/bench/tokens/bench.py check.
//   node check.mjs FOLDER N SEED > texts.jsonl
// A line each: id, text, expect_o200k_base and expect_cl100k_base, arrays of ids.
import { createRequire } from "node:module";
import path from "node:path";

const [folder, n, seed] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const require = createRequire(path.resolve(folder, "x.js"));
const { get_encoding } = require("tiktoken");

let state = BigInt(seed);
const draw = (limit) => {
  state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
  return Number((state >> 33n) % BigInt(limit));
};
const fragments = ["a", "b", "the", "ing", "A", "B", "HTML", "Get", " ", " ", "  ", "\t", "\n", "\r\n", "\n\n", "    ", "'", "'s",
  "'S", "'t", "'re", "'LL", "'d", "'ve", "1", "22", "345", "6789", ".", ",", "(", ")", "//", "*/", ";\n/", "--", "{", "}", '"', "==",
  "_", "é", "É", "ſ", "中", "日本語", "я", "Я", "ǅ", "ʰ", "\u0301", "\u200d", "\u00a0", "\u3000", "\u0085", "\ufeff", "\u180e", "٣", "Ⅷ",
  "½", "😀", "ก", "ำ", "한", "\u0001", "\u007f", "<|endoftext|>"];
const text = () => {
  let out = "";
  const only = draw(3) === 0 ? 1 + draw(6) : fragments.length, base = draw(fragments.length);
  for (let i = 1 + draw(40); i > 0; i--) {
    const kind = draw(10);
    if (kind === 0) out += String.fromCharCode(32 + draw(95));
    else if (kind === 1 && only > 6) out += String.fromCodePoint([draw(0x3000), 0x3000 + draw(0xa000), 0x1f000 + draw(0x1000), 0xe000 + draw(0x2000)][draw(4)]);
    else out += fragments[(base + draw(only)) % fragments.length].repeat(draw(15) === 0 ? 1 + draw(30) : 1);
  }
  return out;
};

const encodings = ["o200k_base", "cl100k_base"].map((name) => [name, get_encoding(name)]);
for (let i = 0; i < n; i++) {
  const line = { id: i, text: text() };
  for (const [name, e] of encodings) line[`expect_${name}`] = [...e.encode_ordinary(line.text)];
  process.stdout.write(JSON.stringify(line) + "\n");
}
