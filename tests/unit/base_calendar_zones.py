"""Compare windows in every time zone with Python's zoneinfo: base_calendar_zones.py BASE_CALENDAR_TEST [all].

For every local day from 1970 to 2100: its first instant, the local time a second before, at and after it, and that its
window ends where the next day begins. At every change of the clock, a second before, at and after it: the day's window
and the local hour's. For every month: where it, its first week, its quarter and its year begin and end. Without `all`:
every day of zones known for odd days, every 41st of all others. With `all`: every day; names that are links to a file that
was looked at under another name, every 41st.
"""
import datetime as dt
import hashlib
import multiprocessing
import os
import subprocess
import sys
import zoneinfo

SPECIAL = ["Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "America/Havana", "Africa/Casablanca",
           "Asia/Kathmandu", "Pacific/Kiritimati", "Etc/GMT+12", "America/St_Johns", "UTC"]
ROOT = os.environ.get("BURSAR_ZONEINFO", "/usr/share/zoneinfo")
LAST = (dt.date(2100, 12, 31) - dt.date(1970, 1, 1)).days
EPOCH = dt.datetime(1970, 1, 1)


class Zone:
    def __init__(self, name):
        self.name = name
        self.zone = zoneinfo.ZoneInfo(name)

    def offset(self, t):
        """At an instant, by the way from UTC."""
        delta = dt.datetime.fromtimestamp(t, self.zone).utcoffset()
        return delta.days * 86400 + delta.seconds

    def day_start(self, day):
        """First instant whose local date has reached the day, by the way from local time."""
        aware = (EPOCH + dt.timedelta(days=day)).replace(tzinfo=self.zone)
        before, after = aware.utcoffset(), aware.replace(fold=1).utcoffset()
        if before >= after:  # the midnight exists once, or twice: fold 0 is the first
            return day * 86400 - before.days * 86400 - before.seconds
        low, high = day * 86400 - 100000, day * 86400 + 100000  # a gap: find the switch
        while high - low > 1:
            middle = (low + high) // 2
            if middle + self.offset(middle) >= day * 86400:
                high = middle
            else:
                low = middle
        return high

    def switch_between(self, low, high):
        """The instant in (low, high] at which the offset is another than at low; there is one."""
        old = self.offset(low)
        while high - low > 1:
            middle = (low + high) // 2
            if self.offset(middle) != old:
                high = middle
            else:
                low = middle
        return high


class Server:
    """The C side."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, "--answer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, zone, what, first, last=None, step=1):
        last = first + 1 if last is None else last
        self.process.stdin.write(f"{zone.name} {what} {first} {last} {step}\n".encode())
        self.process.stdin.flush()
        for n in range(first, last, step):
            yield n, [int(word) for word in self.process.stdout.readline().split()]

    def end(self):
        self.process.stdin.close()
        return self.process.wait()


class Wrong(Exception):
    pass


def expect(zone, what, got, want):
    if got != want:
        raise Wrong(f"{zone.name} {what}: got {got}, want {want}")


def check_days(server, zone, first, step):
    """Returns how many, and the instants at which the offset changed between two of them."""
    switches, n, before, offset, following = [], 0, None, None, None
    day_start, offset_at = zone.day_start, zone.offset
    for day, got in server.ask(zone, "day", first, LAST, step):
        start = day_start(day) if step > 1 or following is None else following
        old, offset = offset, offset_at(start)
        following = end = day_start(day + 1)
        nearby = day + 1
        while end <= start:  # a date that the zone left out
            nearby += 1
            end = day_start(nearby)
        want = [start, offset_at(start - 1), offset, offset_at(start + 1), end]
        if got != want:
            raise Wrong(f"{zone.name} {EPOCH + dt.timedelta(days=day):%Y-%m-%d}: got {got}, want {want}")
        if before is not None and old != offset:
            switches.append(zone.switch_between(before, start))
        before = start
        n += 1
    return n, switches


def day_of(zone, t):
    """The day whose window holds t: the latest that has begun. A clock that goes back over midnight opens no old day."""
    day = (t + zone.offset(t)) // 86400
    while zone.day_start(day + 1) <= t:
        day += 1
    return day


def check_switch(server, zone, switch):
    for t in (switch - 1, switch, switch + 1):
        day = day_of(zone, t)
        end = day + 1
        while zone.day_start(end) <= t:
            end += 1
        ((_, got),) = server.ask(zone, "daily", t)
        expect(zone, f"day around {t}", got, [zone.day_start(day), zone.day_start(end), zone.offset(t)])
        ((_, got),) = server.ask(zone, "hour", t)
        start, end, _ = got
        if not (start <= t < end and end - start <= 3600):
            raise Wrong(f"{zone.name} hour around {t}: {got}")
        ((_, after),) = server.ask(zone, "hour", end)
        ((_, before),) = server.ask(zone, "hour", start - 1)
        expect(zone, f"hours around {t} tile", [after[0], before[1]], [end, start])
        # A whole local hour, unless a change of the clock by part of an hour ends or begins it.
        for edge in (start, end):
            if (edge + zone.offset(edge)) % 3600 != 0 and edge != switch:
                raise Wrong(f"{zone.name} hour around {t} begins or ends at {edge}")


def days(year, month, day=1):
    return (dt.date(year + (month - 1) // 12, (month - 1) % 12 + 1, day) - dt.date(1970, 1, 1)).days


def check_calendar(server, zone, step):
    """Every `step`-th month with its quarter and year, and the week of its first day."""
    for i in range(0, (2100 - 1970) * 12, step):
        year, month = 1970 + i // 12, i % 12 + 1
        first = days(year, month)
        t = zone.day_start(first)
        week = first - (first + 3) % 7  # 1970-01-01 was a Thursday
        quarter = (month - 1) // 3 * 3 + 1
        for what, begin, end in (("month", first, days(year, month + 1)), ("week", week, week + 7),
                                 ("quarter", days(year, quarter), days(year, quarter + 3)),
                                 ("year", days(year, 1), days(year + 1, 1))):
            ((_, got),) = server.ask(zone, what, t)
            expect(zone, f"{what} of {year}-{month}", got[:2], [zone.day_start(begin), zone.day_start(end)])


def check_zone(job):
    program, name, first, step = job
    zoneinfo.reset_tzpath([ROOT])
    server, zone = Server(program), Zone(name)
    n, switches = check_days(server, zone, first, step)
    for switch in switches if step == 1 else switches[first % 8::8]:
        check_switch(server, zone, switch)
    check_calendar(server, zone, 1 if step == 1 else 29)
    if server.end() != 0:
        raise Wrong(f"{name}: the C side failed")
    return n, len(switches)


def checked(job):
    try:
        return check_zone(job)
    except Wrong as e:
        return str(e)


def zones_by_file():
    """Names, and whether an earlier one has the same file: many are links."""
    seen = set()
    for name in SPECIAL + [n for n in sorted(zoneinfo.available_timezones()) if n not in SPECIAL]:
        try:
            with open(os.path.join(ROOT, name), "rb") as f:
                digest = hashlib.sha256(f.read()).digest()
        except OSError:
            continue
        yield name, digest in seen
        seen.add(digest)


def jobs_of(program, whole):
    for i, (name, link) in enumerate(zones_by_file()):
        if not link and (whole or name in SPECIAL):
            yield program, name, 0, 1
        elif whole or not link:
            yield program, name, i % 41, 41


def main():
    zoneinfo.reset_tzpath([ROOT])
    jobs = list(jobs_of(sys.argv[1], sys.argv[2:] == ["all"]))
    n_days = n_switches = 0
    with multiprocessing.Pool() as pool:
        for result in pool.imap_unordered(checked, jobs):
            if isinstance(result, str):
                print(result, file=sys.stderr)
                pool.terminate()
                return 1
            n_days += result[0]
            n_switches += result[1]
    print(f"{n_days} days and {n_switches} changes of the clock in {len(jobs)} zones agree with zoneinfo")
    return 0


if __name__ == "__main__":
    sys.exit(main())
