import os

import pytest

import harness


def pytest_configure(config):
    for program in (harness.BURSAR, harness.VENDOR):
        if not program.exists():
            raise pytest.UsageError(f"{program} is not built; run `make test` or `make e2e`")


def stop_all(started):
    """Every bursar ends by itself, without a leak or a complaint of a sanitizer."""
    processes = [b.process for b in started if b.process is not None]
    codes = [p.terminate(60) for p in processes]
    wrong = [(code, p.words()[-4000:]) for p, code in zip(processes, codes) if code not in (0, -9)]
    assert not wrong, wrong


@pytest.fixture
def vendor(tmp_path):
    v = harness.Vendor(tmp_path / "vendor")
    yield v
    v.stop()


@pytest.fixture
def start_bursar(tmp_path, vendor):
    """A function that starts a bursar with changes to the usual configuration."""
    started = []

    def start(changes=None, name="bursar", **more):
        b = harness.Bursar(tmp_path / name, vendor, changes, **more)
        started.append(b)
        return b

    yield start
    stop_all(started)


@pytest.fixture
def bursar(start_bursar):
    return start_bursar()


@pytest.fixture(autouse=True)
def port_443_goes_back():
    yield
    harness.AddressLock.release()


@pytest.fixture
def names():
    """A name server on which the three vendors live at 127.0.0.2."""
    dns = harness.FakeDns({host: "127.0.0.2" for host in harness.VENDOR_HOSTS.values()})
    yield dns
    dns.close()


@pytest.fixture
def vendor443(tmp_path):
    """The vendor under its real names: 127.0.0.2:443, as CONNECT asks for it."""
    address = "127.0.0.2:443"
    if not harness.can_bind(address):
        if os.environ.get("CI"):
            pytest.fail(f"cannot bind {address}: run as root")
        pytest.skip(f"cannot bind {address}: run as root, or with CAP_NET_BIND_SERVICE")
    v = harness.Vendor(tmp_path / "vendor443", "--listen-tls", address)
    yield v
    v.stop()


@pytest.fixture
def intercepting(tmp_path, vendor443, names):
    """bursar as a forward proxy whose name server is ours."""
    changes = {
        "network": {"dns": [names.address()]},
        "providers": {name: {"base_url": None} for name in harness.VENDOR_HOSTS},
    }
    started = []

    def start(more=None, name="proxy"):
        b = harness.Bursar(tmp_path / name, vendor443, harness.merge(changes, more or {}))
        started.append(b)
        return b

    yield start
    stop_all(started)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Programs' last words under a failed test."""
    outcome = yield
    report = outcome.get_result()
    if report.when != "call" or not report.failed or "tmp_path" not in item.funcargs:
        return
    for log in sorted(item.funcargs["tmp_path"].rglob("*.log")):
        if log.name == "names.log":
            continue  # of the store, not for people
        text = log.read_text(errors="replace")
        if text:
            report.sections.append((str(log), text[-3000:]))
