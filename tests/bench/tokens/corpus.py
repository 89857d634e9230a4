#!/usr/bin/env python3
"""Writes the benchmark's text: 5 MB of what lies on a Debian machine, in shares that stay the same.

usage: corpus.py OUT

English documents, code in C, Python and TypeScript, JSON, Markdown, and manual pages in ten languages (which hold some
English and markup, as foreign technical text does). Files are taken in order of their paths, at most 24 kB of each, cut
at a line's end; the same packages give the same bytes. What a machine lacks is left out, and said.
"""

import gzip
import hashlib
import pathlib
import sys

KB = 1000
PER_FILE = 24 * KB
NODE = "build/bench-tokens/node_modules"
SHARES = [
    ("English documents", 800 * KB, "/usr/share/doc", ("README*", "NEWS*", "FAQ*", "*.txt*")),
    ("English manual pages", 400 * KB, "/usr/share/man/man1", ("*.gz",)),
    ("C", 600 * KB, "/usr/include", ("*.h",)),
    ("Python", 600 * KB, "/usr/lib/python3.11", ("*.py",)),
    ("TypeScript", 300 * KB, NODE, ("*.d.ts",)),
    ("JavaScript", 300 * KB, NODE, ("*.mjs", "*.js")),
    ("JSON", 350 * KB, "/usr", ("*.json",)),
    ("Markdown", 350 * KB, "/usr", ("*.md",)),
    ("German", 150 * KB, "/usr/share/man/de", ("*.gz",)),
    ("French", 150 * KB, "/usr/share/man/fr", ("*.gz",)),
    ("Spanish", 150 * KB, "/usr/share/man/es", ("*.gz",)),
    ("Polish", 100 * KB, "/usr/share/man/pl", ("*.gz",)),
    ("Turkish", 100 * KB, "/usr/share/man/tr", ("*.gz",)),
    ("Russian", 150 * KB, "/usr/share/man/ru", ("*.gz",)),
    ("Ukrainian", 100 * KB, "/usr/share/man/uk", ("*.gz",)),
    ("Japanese", 150 * KB, "/usr/share/man/ja", ("*.gz",)),
    ("Chinese", 150 * KB, "/usr/share/man/zh_CN", ("*.gz",)),
    ("Korean", 100 * KB, "/usr/share/man/ko", ("*.gz",)),
]


def text_of(path):
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError, EOFError):
        return ""
    if "\0" in text:
        return ""
    data = text.encode()[:PER_FILE]
    return data[: data.rfind(b"\n") + 1].decode("utf-8")


def share(root, patterns, size):
    paths = set()
    for pattern in patterns:
        paths.update(p for p in pathlib.Path(root).rglob(pattern) if p.is_file() and not p.is_symlink())
    parts, seen, left = [], set(), size
    for path in sorted(paths, key=str):
        text = text_of(path)
        digest = hashlib.sha256(text.encode()).digest()
        if len(text) < 200 or digest in seen:
            continue
        seen.add(digest)
        piece = text.encode()[:left].decode("utf-8", "ignore")
        parts.append(piece)
        left -= len(piece.encode())
        if left < 8:
            break
    return "".join(parts)


def main():
    out = bytearray()
    for name, size, root, patterns in SHARES:
        text = share(root, patterns, size).encode()
        if len(text) < size * 9 // 10:
            print(f"corpus: only {len(text)} of {size} bytes of {name}", file=sys.stderr)
        out += text
    pathlib.Path(sys.argv[1]).write_bytes(out)
    ascii_share = 100 * sum(b < 128 for b in out) / max(1, len(out))
    print(f"corpus: {len(out)} bytes, {ascii_share:.0f} % ASCII, sha256 {hashlib.sha256(out).hexdigest()[:16]}")


if __name__ == "__main__":
    main()
