"""What happens to calls when the disk fails under the ledger: the rows of the table in store/README.md."""

import os
import pathlib
import signal
import sqlite3
import subprocess
import time

import pytest

import harness
from harness import CHAT, Wire, budget, call, chat, nanousd, request_bytes, wait_for
from test_bad_input import fill, small_disk  # noqa: F401 (a fixture)

SLOT_BYTES, HEADER_BYTES = 512, 4096


class Disk:
    """Fails when told to; a library that is preloaded into bursar."""

    def __init__(self, directory):
        self.control = directory / "disk-is-broken"
        self.library = directory / "faulty_disk.so"
        source = pathlib.Path(__file__).parent / "faulty_disk.c"
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", self.library, source, "-ldl"], check=True)

    def environment(self):
        return {**os.environ, "LD_PRELOAD": str(self.library), "FAULTY_DISK": str(self.control)}

    def fail(self, how="all"):
        self.control.write_text(how)

    def heal(self):
        self.control.unlink()


@pytest.fixture
def disk(tmp_path):
    if harness.SANITIZED:
        pytest.skip("a sanitizer wants to be the first that is preloaded")
    return Disk(tmp_path)


def pay(bursar, **fields):
    return call(bursar.proxy, "/openai" + CHAT, chat(), headers=fields or None)


def refused(bursar):
    """A refusal for the storage's sake, or None."""
    answer = pay(bursar)
    assert answer.status in (200, 503), answer.body
    if answer.status == 200:
        return None
    assert answer.json()["error"]["code"] == "storage_unavailable" and 1 <= int(answer["retry-after"]) <= 60, answer.body
    return answer


def ready(bursar):
    return bursar.api("/health/ready", raw=True)[0]


def nothing_lost(bursar, vendor):
    """Every call of the vendor's bill is in the ledger once, for what it cost."""
    bursar.wait_settled()
    rows = bursar.ledger()
    total = vendor.totals()
    assert len(rows) == total["complete"] and sum(nanousd(r["usd"]) for r in rows) == total["nanousd"]
    assert bursar.cli("verify", check=False).returncode == 0


@pytest.mark.parametrize("how", ("all", "sync"))
def test_8_5_io_errors_are_survived_for_a_while_then_stop_calls(vendor, start_bursar, disk, how):
    bursar = start_bursar({"storage": {"grace": "2s", "max_unpersisted": "100 USD"}}, env=disk.environment())
    for _ in range(5):
        assert pay(bursar).status == 200
    bursar.wait_settled()
    disk.fail(how)
    began = time.monotonic()
    good = 0
    while refused(bursar) is None:
        good += 1
        assert time.monotonic() - began < 30
    assert good > 3 and time.monotonic() - began > 1, "within the grace calls go on"
    wait_for(lambda: ready(bursar) == 503, "the storage to be down")
    disk.heal()
    wait_for(lambda: pay(bursar).status == 200, "calls to go on", 30)
    wait_for(lambda: ready(bursar) == 200, "the storage to be up")
    nothing_lost(bursar, vendor)


def test_8_5_too_much_unwritten_money_stops_calls_before_the_grace_is_over(vendor, start_bursar, disk):
    bursar = start_bursar({"storage": {"grace": "1h", "max_unpersisted": "0.0001 USD"}}, env=disk.environment())
    assert pay(bursar).status == 200
    bursar.wait_settled()
    disk.fail()
    wait_for(lambda: refused(bursar), "unwritten money to stop calls", 20)
    disk.heal()
    wait_for(lambda: pay(bursar).status == 200, "calls to go on", 30)
    nothing_lost(bursar, vendor)


def test_8_5_no_free_slot_is_a_503_for_a_second(vendor, start_bursar, disk):
    bursar = start_bursar({"storage": {"grace": "1h", "max_unpersisted": "1000 USD", "journal_slots": 64}, "workers": 1},
                          env=disk.environment())
    assert pay(bursar).status == 200
    bursar.wait_settled()
    disk.fail()
    answers = [pay(bursar) for _ in range(80)]
    assert [a.status for a in answers[:50]] == [200] * 50 and answers[-1].status == 503
    assert answers[-1].json()["error"]["code"] == "storage_unavailable" and answers[-1]["retry-after"] == "1"
    disk.heal()
    wait_for(lambda: pay(bursar).status == 200, "calls to go on", 30)
    nothing_lost(bursar, vendor)


def test_8_5_kill_while_the_disk_fails_loses_nothing(vendor, start_bursar, disk):
    bursar = start_bursar({"storage": {"grace": "1h", "max_unpersisted": "1000 USD"}}, env=disk.environment())
    assert pay(bursar).status == 200
    disk.fail()
    for _ in range(10):
        assert pay(bursar).status == 200
    bursar.kill9()
    disk.heal()
    bursar.start()
    nothing_lost(bursar, vendor)


def test_8_5_soft_budgets_go_on_and_their_calls_are_written_later(vendor, start_bursar, disk):
    bursar = start_bursar({"budgets": [budget("1 USD", mode="soft")], "storage": {"grace": "1s"}}, env=disk.environment())
    assert pay(bursar).status == 200
    disk.fail()
    wait_for(lambda: ready(bursar) == 503, "the storage to be down", 30)
    for _ in range(5):
        assert pay(bursar).status == 200
    disk.heal()
    wait_for(lambda: ready(bursar) == 200, "the storage to be back", 30)
    nothing_lost(bursar, vendor)


def test_8_5_disk_full_within_the_grace(vendor, start_bursar, small_disk):  # noqa: F811
    """SQLite itself meets the end of the disk: min_free is off."""
    bursar = start_bursar({"data": str(small_disk / "data"), "storage": {"min_free": "0B", "grace": "3s", "max_unpersisted": "100 USD"}},
                          start=False)
    bursar.data = small_disk / "data"
    bursar.start()
    assert pay(bursar).status == 200
    bursar.wait_settled()
    fill(small_disk)
    good = 0
    while refused(bursar) is None:
        good += 1
        assert good < 100_000
    assert good > 3
    (small_disk / "filler").unlink()
    wait_for(lambda: pay(bursar).status == 200, "calls to go on", 30)
    nothing_lost(bursar, vendor)


def test_8_5_little_room_is_told_then_stops_hard_budgets_alone(vendor, start_bursar, small_disk):  # noqa: F811
    budgets = [budget("1 USD", name="hard", match={"model": "gpt-4.1-mini"}), budget("1 USD", name="soft", mode="soft")]
    bursar = start_bursar({"data": str(small_disk / "data"), "storage": {"min_free": "30MiB"}, "budgets": budgets}, start=False)
    bursar.data = small_disk / "data"
    bursar.start()
    assert pay(bursar).status == 200
    assert [line for line in bursar.log_lines() if line["event"] == "store.disk"], "64 MiB are less than a gigabyte"
    (small_disk / "filler").write_bytes(bytes(30 << 20))
    answer = wait_for(lambda: refused(bursar), "little room to stop hard budgets", 30)
    assert b"room" in answer.body or b"free" in answer.body or answer.status == 503
    other = call(bursar.proxy, "/openai" + CHAT, chat(model="gpt-4.1"))
    assert other.status == 200, "no hard budget counts this one"
    (small_disk / "filler").unlink()
    wait_for(lambda: pay(bursar).status == 200, "calls to go on", 30)
    nothing_lost(bursar, vendor)


def test_8_5_another_program_that_holds_the_database_only_delays_rows(vendor, start_bursar):
    bursar = start_bursar()
    assert pay(bursar).status == 200
    bursar.wait_settled()
    db = sqlite3.connect(bursar.data / "bursar.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    for _ in range(5):
        assert pay(bursar).status == 200
    time.sleep(1)
    assert len(bursar.ledger()) == 1
    db.execute("ROLLBACK")
    db.close()
    nothing_lost(bursar, vendor)


def slots(bursar):
    """(offset, state) of the journal's slots that are not free."""
    data = (bursar.data / "inflight.jnl").read_bytes()
    return [(at, data[at]) for at in range(HEADER_BYTES, len(data), SLOT_BYTES) if data[at] != 0]


def test_8_4_damaged_slot_is_kept_apart_and_told(vendor, start_bursar):
    bursar = start_bursar()
    w = Wire(bursar.proxy)
    w.send(request_bytes("/openai" + CHAT, chat(), headers={"x-vendor-delay-ms": "20000"}))
    wait_for(lambda: vendor.hits() == 1, "the call to reach the vendor")
    bursar.kill9()
    ((at, state),) = slots(bursar)
    assert state == 2, "SENT"
    with open(bursar.data / "inflight.jnl", "r+b") as f:
        f.seek(at + 60)
        f.write(b"\xff")
    bursar.start()
    assert bursar.ledger() == [] and bursar.held() == 0
    assert [line for line in bursar.log_lines() if line["event"] == "store.quarantine"]
    with sqlite3.connect(f"file:{bursar.data}/bursar.db?mode=ro", uri=True) as db:
        ((raw,),) = db.execute("SELECT raw FROM journal_quarantine").fetchall()
    assert len(raw) == SLOT_BYTES and raw[60] == 0xFF
    assert pay(bursar).status == 200


def test_8_5_lost_journal_file_stops_the_program_with_70(vendor, start_bursar):
    """As when the disk under the map fails: SIGBUS."""
    bursar = start_bursar()
    assert pay(bursar).status == 200
    bursar.wait_settled()
    os.truncate(bursar.data / "inflight.jnl", 0)
    with pytest.raises((OSError, AttributeError)):
        pay(bursar).status
    assert bursar.process.wait(20) == 70
    assert "SIGBUS" in bursar.process.words()
    bursar.process = None
    done = bursar.cli("serve", check=False)
    assert done.returncode == 78 and "journal" in done.stderr


def test_8_5_seal_that_does_not_fit_is_refused_with_78(vendor, start_bursar):
    bursar = start_bursar()
    for _ in range(3):
        assert pay(bursar).status == 200
    bursar.wait_settled()
    bursar.stop()
    with sqlite3.connect(bursar.data / "bursar.db") as db:
        db.execute("UPDATE ledger SET amount_n = amount_n - 1 WHERE seq = 2")
    done = bursar.cli("serve", check=False)
    assert done.returncode == 78 and "changed by something else" in done.stderr
    assert bursar.cli("verify", check=False).returncode != 0


def test_8_5_read_only_database_is_refused_at_start(vendor, start_bursar, small_disk):  # noqa: F811
    bursar = start_bursar({"data": str(small_disk / "data")}, start=False)
    bursar.data = small_disk / "data"
    bursar.start()
    assert pay(bursar).status == 200
    bursar.stop()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = bursar.cli("serve", check=False)
    assert done.returncode not in (0, -signal.SIGSEGV) and "read-only" in done.stderr.lower()
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    bursar.start()
    nothing_lost(bursar, vendor)


def test_8_5_damage_while_it_runs_stops_calls_and_leaves_the_admin_side(vendor, start_bursar):
    bursar = start_bursar()
    assert pay(bursar).status == 200
    bursar.wait_settled()
    database = bursar.dir / "data" / "bursar.db"
    wal = database.with_name("bursar.db-wal")
    wait_for(lambda: not wal.exists() or wal.stat().st_size == 0, "the log's rows to be in the database", 30)
    with open(database, "r+b") as f:
        for page in range(1, database.stat().st_size // 4096):
            f.seek(4096 * page)
            f.write(os.urandom(4096))
    wait_for(lambda: refused(bursar), "a call to be refused")
    assert ready(bursar) == 503
    paid = vendor.totals()["begun"]
    assert refused(bursar) and vendor.totals()["begun"] == paid
    assert any(line.get("event") == "store.health" and "damaged" in line["msg"] for line in bursar.log_lines())
