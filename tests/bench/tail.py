#!/usr/bin/env python3
"""Tail latency of small calls while prompts of 1 MB pass through the same worker, and without them; nginx beside.

Small calls come at a fixed rate (latency counts from when a call was due). A worker that stops at a large body to scan
or count it shows here: the p99 and the maximum of the small calls grow by as long as it stops.

TAIL_SECONDS=5, TAIL_RATE=500 small calls a second, TAIL_PROMPTS=20 prompts a second, TAIL_BYTES=1000000 each.
"""

import json
import os
import subprocess

import bench

SECONDS = float(os.environ.get("TAIL_SECONDS", "5"))
RATE = os.environ.get("TAIL_RATE", "500")
PROMPTS = os.environ.get("TAIL_PROMPTS", "20")
BYTES = int(os.environ.get("TAIL_BYTES", "1000000"))
# A tokenizer's easy text, its hard text, and text full of escapes.
TEXTS = {
    "prose": "The quick brown fox jumps over the lazy dog, and nobody counts what it cost. ",
    "code": "\tif (!node->left) {\n\t\tprintf(\"no left child of %s\\n\", node->name);\n\t\treturn NULL;\n\t}\n",
    "digits": "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899",
}


def load(proxy, body, name, more):
    port, prefix, headers = proxy.target(False, False)
    path = bench.WORK / f"{name}.json"
    path.write_text(json.dumps(body))
    args = [bench.BUILD / "load", "--target", f"127.0.0.1:{port}", "--path", prefix + "/v1/chat/completions", "--body", f"@{path}",
            *headers, *more]
    return subprocess.Popen(["taskset", "-c", str(bench.OTHER_CORE), *map(str, args)], stdout=subprocess.PIPE, text=True,
                            preexec_fn=bench.descriptors)


def result(process):
    for line in process.stdout:
        if line.startswith("{"):
            process.wait()
            return json.loads(line)
    raise SystemExit("tail: the load generator failed")


def measure(proxy, text):
    """Small calls, beside prompts of `text` unless it is None."""
    prompts = None
    if text:
        body = {**bench.CHAT_BODY, "messages": [{"role": "user", "content": text * (BYTES // len(text))}]}
        prompts = load(proxy, body, "tail-prompt", ["--connections", "4", "--rate", PROMPTS, "--warmup", "0", "--seconds", SECONDS + 3])
    small = result(load(proxy, bench.CHAT_BODY, "tail-small", ["--connections", "16", "--rate", RATE, "--warmup", "1", "--seconds", SECONDS]))
    beside = result(prompts) if prompts else None
    return small, beside


def show(proxy, name, small, beside):
    failed = sum(r["errors"] + r["status_4xx"] + r["status_5xx"] for r in (small, beside) if r)
    prompts = f"; prompts p50 {beside['p50_us'] / 1000:.1f} ms" if beside else ""
    print(f"  {proxy.name:8} beside {name:16} small calls p50 {small['p50_us']:7.0f} us  p99 {small['p99_us']:7.0f} us  "
          f"max {small['max_us']:7.0f} us{prompts}" + (f"; {failed} calls FAILED" if failed else ""), flush=True)


def main():
    bench.WORK.mkdir(parents=True, exist_ok=True)
    bench.descriptors()
    vendor = bench.Vendor()
    running = [vendor.process]
    try:
        nginx = bench.Nginx(vendor)
        running.append(nginx.process)
        bursar = bench.Bursar(vendor, tls=False)
        running.append(bursar.process)
        print(f"{RATE} small calls a second, {PROMPTS} prompts of {BYTES} bytes a second, one worker")
        for proxy in (nginx, bursar):
            show(proxy, "nothing", *measure(proxy, None))
            for name, text in TEXTS.items():
                show(proxy, f"prompts of {name}", *measure(proxy, text))
    finally:
        for p in reversed(running):
            bench.end(p)


if __name__ == "__main__":
    main()
