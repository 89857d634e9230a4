"""Long prompts: where the budget decides they are counted, in slices, while the same worker serves others."""

import threading
import time

import pytest

from harness import CHAT, Wire, budget, call, chat, request_bytes

SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody counts what it cost.\n"
LONG = chat(max_tokens=16, text=SENTENCE * (2_000_000 // len(SENTENCE)))
# A token is at least a byte: 0.40 USD a million holds 0.40 USD for so long a prompt (the model takes a million tokens).
# Counted it is some 0.18 USD.
FITS, TOO_SMALL = budget("0.30 USD"), budget("0.10 USD")
PATH = "/openai" + CHAT


@pytest.fixture
def start(start_bursar):
    def one_worker(*budgets):
        b = start_bursar({"workers": 1, "budgets": list(budgets)})
        if b.cli("tokens", "word", check=False).returncode != 0:
            pytest.skip("no vocabulary is built in")
        return b

    return one_worker


def test_counted_prompt_fits_and_small_calls_are_served_meanwhile(vendor, start):
    bursar = start(FITS)
    answers, small = [], []
    long_ones = [threading.Thread(target=lambda: answers.append(call(bursar.proxy, PATH, LONG))) for _ in range(3)]
    for t in long_ones:
        t.start()
    while any(t.is_alive() for t in long_ones):
        small.append(call(bursar.proxy, PATH, chat(max_tokens=4)).status)
    for t in long_ones:
        t.join()
    # one hold at a time fits; what the vendor bills for the first decides about the others
    assert 200 in [a.status for a in answers] and {a.status for a in answers} <= {200, 402}
    assert small and set(small) <= {200, 402} and 200 in small
    bursar.wait_settled()
    assert bursar.held() == 0


def test_counted_prompt_that_does_not_fit_is_refused(vendor, start):
    bursar = start(TOO_SMALL)
    assert call(bursar.proxy, PATH, LONG).status == 402
    assert call(bursar.proxy, PATH, chat()).status == 200
    bursar.wait_settled()
    assert vendor.hits() == 1 and bursar.held() == 0


def test_client_that_leaves_while_its_prompt_is_counted_leaves_nothing(vendor, start):
    bursar = start(FITS)
    data = request_bytes(PATH, LONG)
    for i in range(12):
        w = Wire(bursar.proxy)
        w.send(data)
        time.sleep(i * 0.002)
        (w.abort if i % 2 else w.close)()
    assert call(bursar.proxy, PATH, chat()).status == 200
    bursar.wait_settled()
    assert bursar.held() == 0
    assert bursar.process.running()
