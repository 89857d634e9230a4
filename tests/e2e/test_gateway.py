"""The gateway changes no byte that it need not change, and writes down what the vendor bills."""

import gzip
import json

import pytest

from harness import (CASES, CHAT, MESSAGES, PREFIX, Wire, call, chat, messages, nanousd, request_bytes, sse_events)

# Fields that a proxy adds or writes anew; all else must be as the vendor sent it.
OWN_FIELDS = {"date", "via", "connection", "keep-alive", "transfer-encoding", "x-accel-buffering", "cache-control"}


def vendor_fields(answer):
    return sorted(
        (n.lower(), v) for n, v in answer.fields if n.lower() not in OWN_FIELDS and not n.lower().startswith("x-bursar-")
    )


def both_ways(vendor, bursar, case, headers=None):
    provider, path, body = CASES[case]
    headers = {"x-vendor-call": "same-id", **(headers or {})}
    direct = call(vendor.plain, path, body, headers=headers)
    through = call(bursar.proxy, PREFIX[provider] + path, body, headers=headers)
    return direct, through


@pytest.mark.parametrize("case", CASES)
def test_answer_is_byte_identical_to_the_direct_one(vendor, bursar, case):
    direct, through = both_ways(vendor, bursar, case)
    assert through.status == direct.status == 200
    assert through.body == direct.body
    assert through.ended_well
    assert vendor_fields(through) == vendor_fields(direct)


@pytest.mark.parametrize("case", CASES)
def test_gzipped_answer_says_the_same(vendor, bursar, case):
    headers = {"accept-encoding": "gzip", "x-vendor-gzip": "1"}
    direct, through = both_ways(vendor, bursar, case, headers)
    assert direct["content-encoding"] == "gzip"
    plain = gzip.decompress(through.body) if through["content-encoding"] == "gzip" else through.body
    assert plain == gzip.decompress(direct.body)
    bursar.wait_settled()
    assert [r["source"] for r in bursar.ledger()] == ["usage"]


@pytest.mark.parametrize("fault", ["error-before", "429", "529"])
@pytest.mark.parametrize("case", ["chat", "messages", "generate"])
def test_vendor_error_is_passed_on_unchanged_and_costs_nothing(vendor, bursar, case, fault):
    direct, through = both_ways(vendor, bursar, case, {"x-vendor-fault": fault})
    assert through.status == direct.status
    assert through.body == direct.body
    assert through["retry-after"] == direct["retry-after"]
    bursar.wait_settled()
    assert bursar.budget()["spent"] == "0"


@pytest.mark.parametrize("case", CASES)
def test_ledger_row_equals_the_bill_to_the_nanodollar(vendor, bursar, case):
    provider, path, body = CASES[case]
    call(bursar.proxy, PREFIX[provider] + path, body, headers={"x-vendor-call": "c1"})
    bursar.wait_settled()
    (row,) = bursar.ledger()
    bill = vendor.bill()["c1"]
    assert nanousd(row["usd"]) == bill["nanousd"] > 0
    assert row["source"] == "usage"
    assert set(row["flags"]) <= {"stream"}
    assert row["provider"] == provider
    assert row["output_tokens"] == bill["output"]
    assert row["input_tokens"] == bill["fresh"] + bill["cached"] + bill["write_5m"] + bill["write_1h"]
    assert nanousd(row["held_usd"]) >= bill["nanousd"]
    assert nanousd(bursar.budget()["spent"]) == bill["nanousd"]


def test_half_nanodollars_are_rounded_up_once(vendor, bursar):
    path = "/v1beta/models/gemini-flash-1.5-8b:generateContent"
    body = {"contents": [{"parts": [{"text": "x" * 4}]}], "generationConfig": {"maxOutputTokens": 7}}
    for i in range(4):
        body["contents"][0]["parts"][0]["text"] = "x" * (4 * (i + 1))
        answer = call(bursar.proxy, "/gemini" + path, body, headers={"x-vendor-call": f"c{i}"})
        assert answer.status == 200, answer.body
    bursar.wait_settled()
    bills = vendor.bill()
    charged = sorted(nanousd(r["usd"]) for r in bursar.ledger())
    assert charged == sorted(b["nanousd"] for b in bills.values()) == [1125, 1163, 1200, 1238]


@pytest.mark.parametrize("stream", [False, True])
def test_prompt_cache_reads_and_writes_have_their_own_rates(vendor, bursar, stream):
    body = messages(stream=stream, text="x" * 4000)
    body["messages"][0]["content"] = [
        {"type": "text", "text": "x" * 4000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    ]
    headers = {
        "x-vendor-call": "c1", "x-vendor-cached": "300", "x-vendor-cache-write": "200", "x-vendor-cache-write-1h": "100",
    }
    assert call(bursar.proxy, "/anthropic" + MESSAGES, body, headers=headers).status == 200
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert nanousd(row["usd"]) == vendor.bill()["c1"]["nanousd"]
    assert (row["cached_tokens"], row["cache_write_tokens"], row["cache_write_1h_tokens"]) == (300, 300, 100)


def test_head_that_reaches_the_vendor(vendor, bursar):
    headers = {
        "Authorization": "Bearer sk-of-the-client",
        "x-bursar-tags": "a=b",
        "X-Custom-Thing": "passes",
        "Connection": "keep-alive, x-hop",
        "x-hop": "stays",
        "TE": "trailers",
        "anthropic-beta": "some-beta-2026-01-01",
    }
    assert call(bursar.proxy, "/openai" + CHAT, chat(), headers=headers).status == 200
    head = vendor.last_head()
    fields = {n.lower(): v for n, v in head["fields"]}
    assert head["target"] == CHAT
    assert fields["authorization"] == "Bearer sk-of-the-client"  # its own key, not the one bursar holds
    assert fields["x-custom-thing"] == "passes"
    assert fields["anthropic-beta"] == "some-beta-2026-01-01"
    assert fields["host"] == f"127.0.0.1:{vendor.plain}"
    assert "x-hop" not in fields and "te" not in fields
    assert not [n for n in fields if n.startswith("x-bursar")]


def test_free_calls_pass_and_leave_no_row(vendor, bursar):
    assert call(bursar.proxy, "/openai/v1/models", method="GET").status == 200
    counted = call(bursar.proxy, "/anthropic/v1/messages/count_tokens?beta=true", messages())
    assert counted.status == 200 and counted.json()["input_tokens"] > 0
    bursar.wait_settled()
    assert bursar.ledger() == []


def test_usage_chunk_appears_only_for_who_asked(vendor, bursar):
    without = sse_events(call(bursar.proxy, "/openai" + CHAT, chat(stream=True)).body)
    assert all("usage" not in json.loads(e) for e in without if e != "[DONE]")
    asked = chat(stream=True, stream_options={"include_usage": True})
    with_usage = sse_events(call(bursar.proxy, "/openai" + CHAT, asked).body)
    assert json.loads(with_usage[-2])["usage"]["completion_tokens"] == 16


def test_pieces_of_a_stream_are_not_held_back(vendor, bursar):
    headers = {"x-vendor-chunk-ms": "150", "x-vendor-out": "4", "x-vendor-chunks": "4"}
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, chat(stream=True), headers=headers))
    w.read_head()
    seen = w.buffer
    while b"the" not in seen:
        assert w.more()
        seen = w.buffer
    assert b" is" not in seen  # the second word is not there 150 ms before it was spoken
    w.close()


def test_expect_100_continue_is_answered_here(vendor, bursar):
    body = json.dumps(chat()).encode()
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, b"", headers={"Expect": "100-continue", "Content-Length": len(body)})
           .replace(b"Content-Length: 0\r\n", b""))
    assert w.read_answer().status == 100
    w.send(body)
    assert w.read_answer().status == 200
    assert "expect" not in {n.lower() for n, _ in vendor.last_head()["fields"]}
    w.close()


def test_keep_alive_and_pipelined_calls_are_answered_in_order(vendor, bursar):
    w = Wire(bursar.proxy)
    names = [f"p{i}" for i in range(5)]
    w.send(b"".join(request_bytes("/openai" + CHAT, chat(), headers={"x-vendor-call": n}) for n in names))
    assert [w.read_answer().json()["id"] for _ in names] == ["chatcmpl-" + n for n in names]
    w.close()
    bursar.wait_settled()
    assert len(bursar.ledger()) == 5


def test_chunked_upload_in_small_pieces(vendor, bursar):
    body = json.dumps(chat(text="y" * 5000)).encode()
    w = Wire(bursar.proxy)
    w.send(f"POST /openai{CHAT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nx-vendor-call: c1\r\n\r\n")
    for i in range(0, len(body), 7):
        piece = body[i : i + 7]
        w.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    w.send(b"0\r\n\r\n")
    assert w.read_answer().status == 200
    w.close()
    bursar.wait_settled()
    assert nanousd(bursar.ledger()[0]["usd"]) == vendor.bill()["c1"]["nanousd"]


def test_megabyte_prompt(vendor, bursar):
    answer = call(bursar.proxy, "/openai" + CHAT, chat(text="z" * 3_000_000), headers={"x-vendor-call": "c1"})
    assert answer.status == 200
    bursar.wait_settled()
    assert nanousd(bursar.ledger()[0]["usd"]) == vendor.bill()["c1"]["nanousd"]


def test_answer_names_its_request_and_cost(vendor, bursar):
    answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers={"x-vendor-call": "c1"})
    assert answer["x-bursar-request-id"]
    assert nanousd(answer["x-bursar-cost"]) == vendor.bill()["c1"]["nanousd"]
    assert answer["x-bursar-budget"] == "all"


def test_virtual_key_opens_and_is_replaced_by_the_vendors(vendor, start_bursar):
    bursar = start_bursar({"auth": {"require_key": True}})
    key = bursar.create_key("app-one")
    assert key.startswith("bur_")
    for header in ({"Authorization": f"Bearer {key}"}, {"x-api-key": key}, {"api-key": key}):
        answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers=header)
        assert answer.status == 200, answer.body
        seen = {n.lower(): v for n, v in vendor.last_head()["fields"]}
        assert seen["authorization"] == "Bearer sk-vendor-openai"
        assert key not in json.dumps(seen)
    answer = call(bursar.proxy, "/gemini" + CASES["generate"][1] + f"?key={key}", CASES["generate"][2])
    assert answer.status == 200, answer.body
    assert key not in json.dumps(vendor.last_head())
    bursar.wait_settled()
    assert {r["key"] for r in bursar.ledger()} == {"app-one"}
    assert key not in (bursar.dir / "bursar.jsonl").read_text()
