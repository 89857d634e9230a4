"""make bench-overspend: how far past a budget can concurrent streams get, and how much of it can be used?

Eight tenants with a budget worth 20,000 output tokens each. Their clients stream answers of log-normal length (median 150
tokens, at most 1,024) until the budget is used up: they ask again at once, wait a moment when money is only held, and stop when
it is spent. The test vendor sends token by token, stops when it is hung up on, and its own bill is the judge.

  worst    the request bounds its answer at 1,024 tokens, and all of that is held
  clamp    the same, but near the end the bound is lowered to what the money pays
  growing  the request has no bound: a small hold grows with the answer, and the stream is cut off where the money ends

`growing/8` is growing with `inflight_allow_tokens: 8` in place of 64: how much a vendor may have made, and bills, that has not
arrived when it is hung up on. Over loopback one token is under way; across the world it may be a second's worth.

OVERSPEND="1 128" chooses concurrencies, OVERSPEND_MODES="growing" modes, OVERSPEND_RUNS=1 how often.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
from harness import BUILD, Bursar, Vendor, nanousd, wait_for  # noqa: E402

TENANTS, TOKENS, CAP, OUT_NANOUSD = 8, 20_000, 1_024, 1_600  # gpt-4.1-mini: 1.60 USD for a million output tokens
LIMIT = TOKENS * OUT_NANOUSD
BLOCK = [{"at": "100%", "do": "block"}]
MODES = {
    "worst": {"max": CAP, "budget": {"hold": "worst", "steps": BLOCK}},
    "clamp": {"max": CAP, "budget": {"hold": "worst", "steps": [{"at": "100%", "do": "clamp", "min_out": 1}, *BLOCK]}},
    "growing": {"max": 0, "budget": {"hold": "growing", "steps": BLOCK}},
    "growing/8": {"max": 0, "budget": {"hold": "growing", "steps": BLOCK}, "limits": {"inflight_allow_tokens": 8}},
}


def one_run(mode, streams, seed, directory):
    m = MODES[mode]
    vendor = Vendor(directory / "vendor", "--fast-bill")
    budget = harness.budget(f"{LIMIT / 1e9:.9f} USD", name="tenant", per=["key"], **m["budget"])
    bursar = Bursar(directory / "bursar", vendor, {
        "providers": {"openai": {"api_key": None}}, "budgets": [budget], "limits": m.get("limits", {})})
    try:
        out = subprocess.run(
            [BUILD / "overspend", "--port", bursar.proxy.rsplit(":", 1)[-1] if isinstance(bursar.proxy, str) else str(bursar.proxy),
             "--tenants", str(TENANTS), "--each", str(max(1, streams // TENANTS)), "--cap", str(CAP), "--seed", str(seed),
             "--delay-ms", str(max(1, streams // 16)), "--max-tokens", str(m["max"]), "--seconds", "240"],
            capture_output=True, text=True, check=True).stdout
        wait_for(lambda: vendor.get("/__hits")["open_calls"] == 0, "the vendor to end", 120)
        bursar.wait_settled(120)
        clients = [json.loads(line) for line in out.splitlines()]
        spent = {b["scope"]: nanousd(b["spent"]) for b in bursar.budgets().values()}
        billed = bills(vendor, bursar)
    finally:
        bursar.stop()
        vendor.stop()
    return {"clients": clients, "spent": spent, "billed": billed}


def bills(vendor, bursar):
    """Nano-USD for each tenant. The vendor knows the call's name, which begins with the tenant's number."""
    sums = {f"t{i}": 0 for i in range(TENANTS)}
    for call, line in vendor.bill().items():
        sums[call.split("-")[0]] += line["nanousd"]
    return sums


def cell(mode, streams, runs):
    result = {"over": 0, "ledger": [], "bill": [], "least": 100.0, "cut": [], "held": 0, "spent": 0, "calls": 0, "wrong": 0}
    for run in range(runs):
        with tempfile.TemporaryDirectory(prefix="overspend-") as d:
            r = one_run(mode, streams, 1000 * streams + run, pathlib.Path(d))
        over = max(max(b - LIMIT for b in r["billed"].values()), max(s - LIMIT for s in r["spent"].values()), 0)
        result["over"] = max(result["over"], over)
        assert len(r["spent"]) == TENANTS, r["spent"]
        # no tenant is billed more than its budget has for it
        assert sum(r["billed"].values()) <= sum(r["spent"].values()), (r["billed"], r["spent"])
        result["ledger"] += [100 * s / LIMIT for s in r["spent"].values()]
        result["bill"] += [100 * b / LIMIT for b in r["billed"].values()]
        result["cut"] += [c["cut"] for c in r["clients"]]
        for c in r["clients"]:
            result["held"] += c["held"]
            result["spent"] += c["spent"]
            result["calls"] += c["complete"] + c["cut"]
            result["wrong"] += c["other"] + c["broken"]
        if r["clients"][0]["late"]:
            print(f"  {mode} {streams}: {r['clients'][0]['late']} clients were still waiting when the time was over", flush=True)
    return result


def main():
    concurrency = [int(n) for n in os.environ.get("OVERSPEND", "1 16 128 512").split()]
    modes = os.environ.get("OVERSPEND_MODES", " ".join(MODES)).split()
    runs = int(os.environ.get("OVERSPEND_RUNS", "3"))
    bad = []
    print(f"{TENANTS} tenants, each a budget worth {TOKENS:,} output tokens; {runs} runs; concurrent streams in all, at least one a tenant")
    print(f"{'mode':<10} {'streams':>7} {'overshoot':>10} {'used: ledger':>13} {'least':>7} {'bill':>7} {'least':>7}"
          f" {'cut/tenant':>10} {'answers':>8} {'429':>6} {'402':>5} {'wrong':>5}")
    for mode in modes:
        for streams in concurrency:
            r = cell(mode, streams, runs)
            used, cut = statistics.mean(r["ledger"]), statistics.mean(r["cut"])
            print(f"{mode:<10} {streams:>7} {100 * r['over'] / LIMIT:>9.4f}% {used:>12.3f}% {min(r['ledger']):>6.2f}%"
                  f" {statistics.mean(r['bill']):>6.2f}% {min(r['bill']):>6.2f}% {cut:>10.2f} {r['calls']:>8} {r['held']:>6}"
                  f" {r['spent']:>5} {r['wrong']:>5}", flush=True)
            if r["over"] > 0 or r["wrong"]:
                bad.append(f"{mode} {streams}: overshoot {r['over']} nano-USD, {r['wrong']} broken answers")
            if mode.startswith("growing") and (used < 99.9 or cut >= 1.2):
                bad.append(f"{mode} {streams}: {used:.3f} % used, {cut:.2f} streams cut per tenant")
    print("goals: overshoot 0 everywhere; growing: at least 99.9 % used, fewer than 1.2 streams cut per tenant")
    for line in bad:
        print(f"missed: {line}")
    sys.exit(1 if any("overshoot" in line for line in bad) else 0)


if __name__ == "__main__":
    main()
