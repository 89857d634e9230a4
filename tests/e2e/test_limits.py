"""Bounded memory and time: slow readers, slow senders, abuse, draining."""

import concurrent.futures
import signal
import socket
import time

import pytest

from harness import CHAT, SANITIZED, Wire, call, chat, nanousd, request_bytes, wait_for


@pytest.mark.skipif(SANITIZED, reason="memory under a sanitizer says nothing")
def test_slow_reader_of_a_64_megabyte_answer_costs_no_memory(vendor, bursar):
    call(bursar.proxy, "/openai" + CHAT, chat())
    before = bursar.process.rss_kib()
    w = Wire(bursar.proxy)
    w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    w.send(request_bytes("/openai" + CHAT, chat(), headers={"x-vendor-fault": "huge", "x-vendor-call": "huge"}))
    w.read_head()
    peak = 0
    for _ in range(30):
        w.sock.recv(4096)
        peak = max(peak, bursar.process.rss_kib())
        time.sleep(0.05)
    assert peak - before < 8 * 1024, f"{peak - before} KiB more while the client is slow"
    w.close()
    vendor.wait_quiet()
    bursar.wait_settled()
    assert nanousd(bursar.ledger()[-1]["usd"]) >= vendor.bill()["huge"]["nanousd"]
    assert bursar.process.rss_kib() - before < 16 * 1024


def test_64_megabyte_answer_passes_whole(vendor, bursar):
    answer = call(bursar.proxy, "/openai" + CHAT, chat(), headers={"x-vendor-fault": "huge", "x-vendor-call": "h"}, timeout=60)
    assert answer.status == 200 and answer.ended_well and len(answer.body) > 64 * 1024 * 1024
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert nanousd(row["usd"]) == vendor.bill()["h"]["nanousd"], row


def test_slow_head_is_cut_off(start_bursar):
    bursar = start_bursar({"limits": {"head_timeout": "1s"}})
    w = Wire(bursar.proxy, timeout=20)
    began = time.monotonic()
    try:
        for byte in b"GET /openai/v1/models HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 1000:
            w.send(bytes([byte]))
            time.sleep(0.05)
    except OSError:
        pass
    assert time.monotonic() - began < 10


def test_silent_connections_are_closed(start_bursar):
    bursar = start_bursar({"limits": {"head_timeout": "1s", "keepalive": "1s", "handshake_timeout": "1s"}})
    wires = [Wire(bursar.proxy, timeout=15) for _ in range(20)]
    assert all(not w.more() for w in wires)


def test_slow_body_is_cut_off(start_bursar, vendor):
    bursar = start_bursar({"limits": {"body_grace": "1s", "body_min_rate": "1000"}})
    data = request_bytes("/openai" + CHAT, chat(text="x" * 3000))
    w = Wire(bursar.proxy, timeout=20)
    w.send(data[:200])
    began = time.monotonic()
    try:
        for byte in data[200:]:
            w.send(bytes([byte]))
            time.sleep(0.02)
            if time.monotonic() - began > 15:
                pytest.fail("a body at 50 bytes a second was waited for")
    except OSError:
        pass
    assert vendor.hits() == 0 and bursar.held() == 0


def test_one_address_cannot_take_all_connections(start_bursar):
    bursar = start_bursar({"limits": {"max_connections_per_address": 10}})
    wires = []
    for _ in range(30):
        w = Wire(bursar.proxy)
        w.send(b"GET /nobody HTTP/1.1\r\nHost: x\r\n\r\n")
        wires.append(w)
    answered = 0
    for w in wires:
        try:
            answer = w.read_answer("GET")
        except OSError:
            answer = None
        answered += answer is not None and answer.status == 404
    assert answered <= 10
    for w in wires:
        w.close()

    def room_again():
        try:
            answer = call(bursar.proxy, "/nobody", method="GET")
        except OSError:  # closed at once: still too many
            return False
        return answer is not None and answer.status == 404

    wait_for(room_again, "room again")


def test_sigterm_lets_a_running_stream_finish(vendor, start_bursar):
    bursar = start_bursar()
    headers = {"x-vendor-call": "last", "x-vendor-out": "20", "x-vendor-chunks": "20", "x-vendor-chunk-ms": "100"}
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, chat(max_tokens=20, stream=True), headers=headers))
    wait_for(lambda: b"money" in w.buffer or (w.more() and b"money" in w.buffer), "the stream to run")
    bursar.process.popen.send_signal(signal.SIGTERM)

    def refused():
        try:
            late = call(bursar.proxy, "/nobody", method="GET")
            return late is None or late.status == 503
        except OSError:
            return True

    wait_for(refused, "new calls to be turned away")
    answer = w.read_answer()
    assert answer.ended_well and answer.body.endswith(b"data: [DONE]\n\n")
    assert bursar.process.wait(30) == 0
    bursar.start()
    (row,) = bursar.ledger()
    assert nanousd(row["usd"]) == vendor.bill()["last"]["nanousd"] and row["source"] == "usage"


def test_sigterm_with_nothing_to_do_ends_at_once(start_bursar):
    bursar = start_bursar()
    idle = Wire(bursar.proxy)
    began = time.monotonic()
    assert bursar.stop() == 0
    assert time.monotonic() - began < 5
    idle.close()


def test_drain_has_a_bound(vendor, start_bursar):
    bursar = start_bursar({"limits": {"drain_timeout": "1s"}})
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, chat(), headers={"x-vendor-delay-ms": "60000"}))
    wait_for(lambda: vendor.hits() == 1, "the call to arrive")
    began = time.monotonic()
    assert bursar.stop() == 0
    assert time.monotonic() - began < 15
    bursar.start()
    (row,) = bursar.ledger()
    assert row["usd"] == row["held_usd"]


def test_many_clients_share_few_vendor_connections(vendor, bursar):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert {a.status for a in pool.map(lambda _: call(bursar.proxy, "/openai" + CHAT, chat()), range(320))} == {200}
    assert vendor.get("/__hits")["connections"] < 100
    assert nanousd(bursar.budget()["spent"]) > 0
