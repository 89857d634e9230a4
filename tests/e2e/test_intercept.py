"""The forward proxy: CONNECT with interception, absolute form, and what it refuses."""

import base64
import json
import socket
import ssl

import pytest

from harness import (CASES, CHAT, VENDOR_HOSTS, Wire, budget, call, chat, nanousd, open_tunnel, request_bytes)


@pytest.mark.parametrize("case", CASES)
def test_intercepted_answer_is_byte_identical(vendor443, intercepting, case):
    bursar = intercepting()
    provider, path, body = CASES[case]
    host = VENDOR_HOSTS[provider]
    headers = {"x-vendor-call": "same-id", "Authorization": "Bearer sk-mine"}
    wire = Wire(vendor443.tls, tls=(vendor443.ca, "localhost"))
    wire.send(request_bytes(path, body, host=host, headers=headers))
    direct = wire.read_answer()
    wire.close()
    w, head = open_tunnel(bursar.proxy, f"{host}:443", bursar.ca_pem)
    assert head[0] == 200
    w.send(request_bytes(path, body, host=host, headers=headers))
    through = w.read_answer()
    w.close()
    assert through.status == 200, through.body
    assert through.body == direct.body
    bursar.wait_settled()
    (row,) = bursar.ledger()
    assert nanousd(row["usd"]) == vendor443.bill()["same-id"]["nanousd"]


def test_many_calls_in_one_tunnel(vendor443, intercepting):
    bursar = intercepting()
    w, _ = open_tunnel(bursar.proxy, "api.openai.com:443", bursar.ca_pem)
    for i in range(20):
        w.send(request_bytes(CHAT, chat(stream=i % 2 == 1), host="api.openai.com", headers={"x-vendor-call": f"t{i}"}))
        assert w.read_answer().status == 200
    w.close()
    bursar.wait_settled()
    bills = vendor443.bill()
    assert sorted(nanousd(r["usd"]) for r in bursar.ledger()) == sorted(b["nanousd"] for b in bills.values())


def test_minted_leaf_is_for_the_name_and_short_lived(intercepting):
    bursar = intercepting()
    w, _ = open_tunnel(bursar.proxy, "api.anthropic.com:443", bursar.ca_pem)
    cert = w.sock.getpeercert()
    assert ("DNS", "api.anthropic.com") in cert["subjectAltName"]
    days = (ssl.cert_time_to_seconds(cert["notAfter"]) - ssl.cert_time_to_seconds(cert["notBefore"])) / 86400
    assert 1 < days < 15
    w.close()


def test_host_that_differs_from_the_tunnel_is_misdirected(vendor443, intercepting):
    bursar = intercepting()
    w, _ = open_tunnel(bursar.proxy, "api.openai.com:443", bursar.ca_pem)
    w.send(request_bytes(CHAT, chat(), host="api.anthropic.com"))
    assert w.read_answer().status == 421
    w.close()
    assert vendor443.hits() == 0


def test_blocked_call_is_refused_inside_the_tunnel(vendor443, intercepting):
    bursar = intercepting({"budgets": [budget("0.000001 USD")]})
    w, head = open_tunnel(bursar.proxy, "api.openai.com:443", bursar.ca_pem)
    assert head[0] == 200
    w.send(request_bytes(CHAT, chat(), host="api.openai.com"))
    answer = w.read_answer()
    assert answer.status == 402 and answer.json()["error"]["code"] == "budget_exceeded"
    w.close()
    assert vendor443.hits() == 0


def test_proxy_key_is_asked_for_and_identifies_the_tunnel(vendor443, intercepting):
    bursar = intercepting({"auth": {"require_key": True}})
    key = bursar.create_key("tunnel-app")
    w, head = open_tunnel(bursar.proxy, "api.openai.com:443", bursar.ca_pem)
    assert head[0] == 407
    assert "basic" in dict((n.lower(), v) for n, v in head[2])["proxy-authenticate"].lower()
    w.close()
    w, head = open_tunnel(bursar.proxy, "api.openai.com:443", bursar.ca_pem, credential=f"user:{key}")
    assert head[0] == 200
    w.send(request_bytes(CHAT, chat(), host="api.openai.com", headers={"Authorization": "Bearer sk-mine"}))
    assert w.read_answer().status == 200
    w.close()
    bursar.wait_settled()
    assert [r["key"] for r in bursar.ledger()] == ["tunnel-app"]
    assert key not in json.dumps(vendor443.last_head())


def test_unknown_hosts_are_denied_and_tunnelled_only_by_rule(vendor443, intercepting, names):
    names.names["plain.test"] = "127.0.0.2"
    denied = intercepting(name="denied")
    _, head = open_tunnel(denied.proxy, "plain.test:443", vendor443.ca)
    assert head[0] == 403
    allowed = intercepting({"hosts": [{"host": "vendor.test", "do": "tunnel"}]}, name="allowed")
    names.names["vendor.test"] = "127.0.0.2"
    w, head = open_tunnel(allowed.proxy, "vendor.test:443", vendor443.ca)
    assert head[0] == 200
    w.send(request_bytes("/v1/models", method="GET", host="vendor.test"))
    assert w.read_answer("GET").status == 200
    w.close()
    assert allowed.ledger() == []


def test_blind_tunnel_to_a_priced_host_needs_to_be_named(vendor443, intercepting):
    rule = {"host": "api.openai.com", "do": "tunnel"}
    with pytest.raises(AssertionError, match="allow_priced"):
        intercepting({"hosts": [rule]}, name="unnamed")
    bursar = intercepting({"hosts": [{**rule, "allow_priced": True}]}, name="named")
    w, head = open_tunnel(bursar.proxy, "api.openai.com:443", vendor443.ca)
    assert head[0] == 200
    w.close()
    wide = intercepting({"hosts": [{"host": "*", "do": "tunnel"}]}, name="wide")
    _, head = open_tunnel(wide.proxy, "api.openai.com:443", vendor443.ca)
    assert head[0] == 403, "a rule for all hosts does not name the priced one"


def test_other_ports_are_refused(vendor443, intercepting):
    bursar = intercepting()
    for port in (22, 25, 80, 8443):
        _, head = open_tunnel(bursar.proxy, f"api.openai.com:{port}", bursar.ca_pem)
        assert head[0] == 403, port


@pytest.mark.parametrize("case", ["chat", "chat-stream", "messages-stream"])
def test_absolute_form_is_metered(vendor, start_bursar, names, case):
    provider, path, body = CASES[case]
    names.names["vendor.test"] = "127.0.0.1"
    bursar = start_bursar({
        "network": {"dns": [names.address()]},
        "providers": {provider: {"hosts": ["vendor.test", VENDOR_HOSTS[provider]]}},
    })
    url = f"http://vendor.test:{vendor.plain}{path}"
    answer = call(bursar.proxy, url, body, host=f"vendor.test:{vendor.plain}", headers={"x-vendor-call": "abs"})
    assert answer.status == 200, answer.body
    assert answer.body == call(vendor.plain, path, body, headers={"x-vendor-call": "abs"}).body
    assert vendor.last_head()["target"] == path
    bursar.wait_settled()
    assert len(bursar.ledger()) == 1


def test_absolute_form_asks_for_a_key_with_407(vendor, start_bursar, names):
    names.names["vendor.test"] = "127.0.0.1"
    bursar = start_bursar({
        "network": {"dns": [names.address()]}, "auth": {"require_key": True},
        "hosts": [{"host": "vendor.test", "do": "tunnel"}], "connect_ports": [str(vendor.plain)],
    })
    url, host = f"http://vendor.test:{vendor.plain}/echo", f"vendor.test:{vendor.plain}"
    assert call(bursar.proxy, url, method="GET", host=host).status == 407
    credential = base64.b64encode(f"{bursar.create_key('k')}:".encode()).decode()
    answer = call(bursar.proxy, url, method="GET", host=host, headers={"Proxy-Authorization": f"Basic {credential}"})
    assert answer.status == 200
    assert "proxy-authorization" not in answer.body.decode().lower()


def test_a_proxy_that_is_told_to_call_itself_refuses(vendor, start_bursar, names):
    names.names["loop.test"] = "127.0.0.1"
    bursar = start_bursar({"network": {"dns": [names.address()]}, "other_hosts": "tunnel"})
    answer = call(bursar.proxy, f"http://loop.test:{bursar.proxy}/", method="GET", host=f"loop.test:{bursar.proxy}")
    assert answer.status in (403, 502, 508)
    answer = call(bursar.proxy, f"http://loop.test:{bursar.admin}/metrics", method="GET", host=f"loop.test:{bursar.admin}")
    assert answer.status in (403, 502, 508), "the admin listener must not be reachable through the proxy"


def test_client_that_dislikes_our_leaf_leaves_no_harm(vendor443, intercepting):
    bursar = intercepting()
    for _ in range(3):
        w = Wire(bursar.proxy)
        w.send("CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n")
        assert w.read_head()[0] == 200
        with pytest.raises((ssl.SSLError, OSError)):
            ssl.create_default_context().wrap_socket(w.sock, server_hostname="api.openai.com")
    w = Wire(bursar.proxy)
    w.send("CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n")
    w.read_head()
    w.send(b"GET / HTTP/1.1\r\n\r\n")  # no TLS at all
    w.sock.settimeout(10)
    try:
        while w.more():
            pass
    except socket.timeout:
        pytest.fail("the connection hangs")
    assert bursar.held() == 0
