"""The other vendors' own SDKs through bursar: the same answers as without it, the vendor's bill to the nano-dollar, and
errors of the SDK's own classes that are not tried again."""

import json
import shutil
import sys

import pytest

import harness
from harness import budget, merge, sellers, wait_for
from test_sdks import HERE, NODE_DIR, assert_billed, assert_same, clean_environment, node, refusals, run  # noqa: F401

GATEWAY = {
    "aws": "bedrock", "azure": "azure", "cohere": "cohere", "mistral": "mistral", "groq": "groq", "together": "together",
    "openrouter": "openrouter", "ollama": "ollama",
}
# The forward proxy's way: real names, which the test's name server sends to the vendor.
REAL = {
    "aws": "bedrock-runtime.us-east-1.amazonaws.com", "cohere": "api.cohere.com", "mistral": "api.mistral.ai",
    "groq": "api.groq.com", "together": "api.together.xyz", "azure": "contoso.openai.azure.com",
}


def python_calls(roots, **environment):
    return run([sys.executable, str(HERE / "python_providers.py")], clean_environment(PROVIDER_ROOTS=json.dumps(roots), **environment))


def node_calls(roots, *node_options, **environment):
    shutil.copy(HERE / "node_providers.mjs", NODE_DIR / "node_providers.mjs")
    return run(["node", *node_options, "node_providers.mjs"], clean_environment(PROVIDER_ROOTS=json.dumps(roots), **environment))


def direct(vendor):
    return {name: f"http://127.0.0.1:{vendor.plain}/as-{name}" for name in GATEWAY}


def through(bursar):
    return {name: f"http://127.0.0.1:{bursar.proxy}/{prefix}" for name, prefix in GATEWAY.items()}


def with_key(bursar):
    """AWS's SDKs sign what they send, for bursar's address: bursar wants to see a virtual key and signs anew."""
    return {"AWS_ACCESS_KEY_ID": bursar.create_key("aws")}


def held_key(tmp_path):
    path = tmp_path / "bedrock.key"
    path.write_text("bedrock-api-key\n")
    path.chmod(0o600)
    return {"providers": {"bedrock": {"api_key": f"${{file:{path}}}"}}}


@pytest.fixture
def gateway(vendor, start_bursar, tmp_path):
    return start_bursar(merge(sellers(vendor), held_key(tmp_path)))


def test_python_sdks_of_other_vendors_through_the_gateway(vendor, gateway):
    expected = python_calls(direct(vendor))
    assert_same(python_calls(through(gateway), **with_key(gateway)), expected)
    assert_billed(gateway, vendor, expected)


def test_node_sdks_of_other_vendors_through_the_gateway(vendor, gateway, node):
    expected = node_calls(direct(vendor))
    assert_same(node_calls(through(gateway), **with_key(gateway)), expected)
    assert_billed(gateway, vendor, expected)


@pytest.fixture
def names():
    dns = harness.FakeDns({host: "127.0.0.2" for host in [*harness.VENDOR_HOSTS.values(), *REAL.values()]})
    yield dns
    dns.close()


def test_python_sdks_of_other_vendors_through_https_proxy(vendor, vendor443, intercepting):
    """Signatures and API keys of Bedrock too: nothing of the request is changed."""
    bursar = intercepting({"providers": {
        name: {"ca_file": str(vendor443.ca)} for name in ("azure", "bedrock", "cohere", "mistral", "groq", "together")}})
    proxy = f"http://127.0.0.1:{bursar.proxy}"
    expected = python_calls({k: v for k, v in direct(vendor).items() if k in REAL})
    answers = python_calls(
        {name: f"https://{host}" for name, host in REAL.items()}, HTTPS_PROXY=proxy, https_proxy=proxy,
        SSL_CERT_FILE=str(bursar.ca_bundle), AWS_CA_BUNDLE=str(bursar.ca_bundle))
    bearer = {k: answers.pop(k) for k in list(answers) if k.endswith("-bearer")}
    assert_same(answers, expected)
    assert bearer["aws-converse-bearer"] == expected["aws-converse"]
    assert bearer["aws-converse-stream-bearer"] == expected["aws-converse-stream"]
    assert_billed(bursar, vendor443, [*expected, *bearer])


@pytest.fixture
def spent(vendor, start_bursar, tmp_path):
    return start_bursar({**merge(sellers(vendor), held_key(tmp_path)), "budgets": [budget("0.000000001 USD", name="gone")]})


def refusal_status(name):
    return 400 if name.startswith("aws-") else 402


def assert_refused_once_each(bursar, results, capsys):
    with capsys.disabled():
        print()
        for name, e in results.items():
            print(f"  {name}: {e.get('raised')} {e.get('status')} {e.get('text', '')[:110]!r}")
    allowed = {k: v for k, v in results.items() if "raised" not in v}
    assert not allowed, allowed
    wait_for(lambda: len(refusals(bursar)) >= len(results), "the log")
    assert len(refusals(bursar)) == len(results), "an SDK tried again although the money is gone"
    wrong = {k: v for k, v in results.items() if v["status"] not in (refusal_status(k), None)}
    assert not wrong, wrong


def test_python_sdks_of_other_vendors_raise_at_once_when_the_budget_is_spent(vendor, spent, capsys):
    assert_refused_once_each(spent, python_calls(through(spent), **with_key(spent)), capsys)
    assert vendor.hits() == 0


def test_node_sdks_of_other_vendors_raise_at_once_when_the_budget_is_spent(vendor, spent, node, capsys):
    assert_refused_once_each(spent, node_calls(through(spent), **with_key(spent)), capsys)
    assert vendor.hits() == 0
