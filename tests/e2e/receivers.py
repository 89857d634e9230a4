"""Receivers of alerts: a scripted HTTP server, a mail server, and the certificates that they show.

Everything listens on loopback and a free port, answers by a script, and keeps what it was sent byte for byte.

    with HttpReceiver([500, (429, {"Retry-After": "3"}, b""), 200]) as hook:
        ...
        first = hook.wait(1)[0]          # Request: method, path, headers, body, at
    with MailReceiver(certs=Certs(tmp_path), users={"bursar": "secret"}) as mail:
        mail.wait(1)[0].data             # the message as it came
"""

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import json
import logging
import pathlib
import socket
import ssl
import struct
import threading
import time
import warnings

from aiosmtpd import smtp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import harness

DAY = datetime.timedelta(days=1)
logging.getLogger("mail").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", module="aiosmtpd")


def free_port():
    """A loopback port on which nobody listens."""
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- certificates -----------------------------------------------------------------------------------------------------


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Certs:
    """A certificate authority of one test: `ca` is the file to trust; good, wrong_host, self_signed and expired are files
    with key and certificate, made when first asked for."""

    HOSTS = ("localhost", "127.0.0.1", "::1")

    def __init__(self, directory):
        self.dir = pathlib.Path(directory) / "certs"
        self.dir.mkdir(parents=True, exist_ok=True)
        self._made = {}
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        self._authority = (
            x509.CertificateBuilder().subject_name(_name("test authority")).issuer_name(_name("test authority"))
            .public_key(self._key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - 365 * DAY).not_valid_after(now + 365 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = self.dir / "ca.pem"
        self.ca.write_bytes(self._authority.public_bytes(serialization.Encoding.PEM))

    def make(self, name, hosts=HOSTS, own=False, days=(-1, 30)):
        """A file with a key and a certificate for `hosts`; own: signed by itself."""
        if name in self._made:
            return self._made[name]
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        issuer = _name(hosts[0]) if own else self._authority.subject
        cert = (
            x509.CertificateBuilder().subject_name(_name(hosts[0])).issuer_name(issuer)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY).not_valid_after(now + days[1] * DAY)
            .add_extension(x509.SubjectAlternativeName([_alternative(h) for h in hosts]), False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
            .sign(key if own else self._key, hashes.SHA256())
        )
        path = self.dir / f"{name}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + cert.public_bytes(serialization.Encoding.PEM))
        self._made[name] = path
        return path

    @property
    def good(self):
        return self.make("good")

    @property
    def wrong_host(self):
        return self.make("wrong_host", hosts=("elsewhere.example",))

    @property
    def self_signed(self):
        return self.make("self_signed", own=True)

    @property
    def expired(self):
        return self.make("expired", days=(-30, -1))

    @staticmethod
    def context(path):
        """A server's TLS context of such a file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(path))
        return context


class _Kept:
    """What came, and waiting for it. `at` of an entry is time.time()."""

    def __init__(self):
        self._came = threading.Condition()
        self._list = []

    def _keep(self, what):
        with self._came:
            self._list.append(what)
            self._came.notify_all()

    def _all(self):
        with self._came:
            return list(self._list)

    def wait(self, n=1, seconds=None):
        """The first ones, at least n, once they are there."""
        deadline = time.monotonic() + (seconds or harness.PATIENCE)
        with self._came:
            while len(self._list) < n:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"waited in vain for {n} messages, {len(self._list)} came: {self._list!r}")
                self._came.wait(left)
            return list(self._list)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- HTTP -------------------------------------------------------------------------------------------------------------


class Request:
    def __init__(self, method, path, fields, body, connection):
        self.method, self.path, self.fields, self.body = method, path, fields, body
        self.headers = {name.lower(): value for name, value in fields}
        self.connection = connection  # 1, 2, ...: by which connection it came
        self.at = time.time()

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.method} {self.path} {self.body[:200]!r}>"


class Hang:
    """No answer until the peer leaves; with `first`, after these bytes."""

    def __init__(self, first=b""):
        self.first = first


class Cut:
    """The connection ends after these bytes; reset: with a reset."""

    def __init__(self, first=b"", reset=False):
        self.first, self.reset = first, reset


class Drip:
    """An answer whose body comes a few bytes at a time, for ever or until it ends."""

    def __init__(self, status=200, body=b"", step=1, pause=0.05):
        self.status, self.body, self.step, self.pause = status, body, step, pause


class Raw:
    """These bytes as they are, then the end of the connection."""

    def __init__(self, data):
        self.data = data


def redirect(to, status=302):
    return (status, {"Location": to}, b"")


class HttpReceiver(_Kept):
    """Answers each request with the next entry of the script, then with `default`. An entry is a status, a tuple
    (status, headers, body), one of the classes above, or a function of the request that returns one of these. A body that
    is a dict or list is sent as JSON. `tls`: a file of Certs."""

    def __init__(self, script=(), default=200, tls=None, host="127.0.0.1", port=0):
        super().__init__()
        self.script, self.default = list(script), default
        self._context = Certs.context(tls) if tls else None
        self._closing = threading.Event()
        self._threads, self._sockets = [], set()
        self._lock = threading.Lock()
        self.connections = 0
        self.tls_faults = []
        self._listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.host, self.port = host, self._listener.getsockname()[1]
        self._spawn(self._accept)

    @property
    def url(self):
        scheme = "https" if self._context else "http"
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def requests(self):
        return self._all()

    def close(self):
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for s in self._sockets:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_RDWR)
        for t in list(self._threads):
            t.join(5)

    def _spawn(self, fn, *args):
        t = threading.Thread(target=fn, args=args, daemon=True)
        self._threads.append(t)
        t.start()

    def _accept(self):
        while not self._closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._spawn(self._serve, sock, self.connections)

    def _serve(self, sock, number):
        with self._lock:
            self._sockets.add(sock)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context:
                wrapped = self._context.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._sockets.discard(sock)
                    self._sockets.add(wrapped)
                sock = wrapped
            reader = sock.makefile("rb")
            while self._one(sock, reader, number):
                pass
        except ssl.SSLError as e:
            self.tls_faults.append(str(e))
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._sockets.discard(sock)
            sock.close()

    def _one(self, sock, reader, number):
        line = reader.readline(65536).decode("latin-1").rstrip("\r\n")
        if not line:
            return False
        method, path, _ = line.split(" ", 2)
        fields = []
        while True:
            text = reader.readline(65536).decode("latin-1").rstrip("\r\n")
            if not text:
                break
            name, _, value = text.partition(":")
            fields.append((name, value.strip()))
        headers = {n.lower(): v for n, v in fields}
        if headers.get("expect", "").lower() == "100-continue":
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = Request(method, path, fields, self._body(reader, headers), number)
        with self._lock:
            entry = self.script.pop(0) if self.script else self.default
        self._keep(request)
        while callable(entry):
            entry = entry(request)
        return self._answer(sock, entry) and headers.get("connection", "").lower() != "close"

    @staticmethod
    def _body(reader, headers):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while True:
                n = int(reader.readline().split(b";")[0], 16)
                body += reader.read(n)
                reader.readline()
                if n == 0:
                    return body
        return reader.read(int(headers.get("content-length", 0)))

    def _answer(self, sock, entry):
        if isinstance(entry, Hang):
            sock.sendall(entry.first)
            while not self._closing.is_set() and sock.recv(4096):
                pass
            return False
        if isinstance(entry, Cut):
            sock.sendall(entry.first)
            if entry.reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if isinstance(entry, Raw):
            sock.sendall(entry.data)
            return False
        if isinstance(entry, Drip):
            return self._drip(sock, entry)
        status, headers, body = (entry, {}, b"") if isinstance(entry, int) else entry
        if isinstance(body, (dict, list)):
            headers, body = {"Content-Type": "application/json", **headers}, json.dumps(body).encode()
        elif isinstance(body, str):
            body = body.encode()
        head = f"HTTP/1.1 {status} Status\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items())
        sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return True

    def _drip(self, sock, entry):
        length = f"Content-Length: {len(entry.body)}\r\n" if entry.body else "Connection: close\r\n"
        sock.sendall(f"HTTP/1.1 {entry.status} Status\r\n{length}\r\n".encode())
        at = 0
        while not self._closing.is_set() and (not entry.body or at < len(entry.body)):
            sock.sendall(entry.body[at:at + entry.step] or b"." * entry.step)
            at += entry.step
            self._closing.wait(entry.pause)
        return bool(entry.body)


# --- mail -------------------------------------------------------------------------------------------------------------


class Mail:
    def __init__(self, envelope, session, tls):
        self.sender, self.recipients = envelope.mail_from, list(envelope.rcpt_tos)
        self.data = bytes(envelope.content)
        self.tls, self.user = tls, session.auth_data
        self.ehlo = session.host_name
        self.at = time.time()

    def __repr__(self):
        return f"<mail from {self.sender} to {self.recipients}, {len(self.data)} bytes>"


class _Handler:
    def __init__(self, owner):
        self.owner = owner

    async def _perhaps_stall(self, where):
        if self.owner.stall == where:
            await self.owner.never.wait()

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        await self._perhaps_stall("ehlo")
        session.host_name = hostname
        return responses

    async def handle_AUTH(self, server, session, envelope, args):
        self.owner.auths.append(args[0])
        await self._perhaps_stall("auth")
        return self.owner.auth_reply or smtp.MISSING

    async def auth_XOAUTH2(self, server, args):
        blob = args[1] if len(args) > 1 else None
        if blob is None:
            said = await server.challenge_auth("", encode_to_b64=False)
            if said is smtp.MISSING:
                return smtp.AuthResult(success=False)
            blob = said if isinstance(said, str) else base64.b64encode(said).decode()
        words = base64.b64decode(blob).decode().split("\x01")
        user, bearer = words[0].removeprefix("user="), words[1].removeprefix("auth=Bearer ")
        good = self.owner.bearers.get(user) == bearer
        return smtp.AuthResult(success=good, auth_data=user if good else None, handled=False)

    async def handle_MAIL(self, server, session, envelope, address, options):
        await self._perhaps_stall("mail")
        if self.owner.mail_reply:
            return self.owner.mail_reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        await self._perhaps_stall("rcpt")
        refusal = self.owner.reject.get(address) or self.owner.reject.get("*")
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        await self._perhaps_stall("data")
        with self.owner.lock:
            reply = self.owner.data_script.pop(0) if self.owner.data_script else "250 2.0.0 OK: queued"
        if reply is None:  # taken, but the peer never hears of it
            self.owner._keep(Mail(envelope, session, server.transport.get_extra_info("cipher") is not None))
            server.transport.close()
            return "421 4.3.0 gone"
        if reply.startswith("2"):
            self.owner._keep(Mail(envelope, session, server.transport.get_extra_info("cipher") is not None))
        return reply


class MailReceiver(_Kept):
    """security: "starttls" (offered and required), "optional" (offered), "tls" (from the first byte), "none".
    users: name to password, for PLAIN and LOGIN; bearers: user to token, for XOAUTH2; none: AUTH is not offered.
    reject: recipient ("*": every) to the reply that refuses it; data_script: replies to messages, in order (None: the
    message is kept and the connection dropped); stall: "banner", "ehlo", "auth", "mail", "rcpt" or "data"."""

    def __init__(self, certs=None, security="starttls", users=None, bearers=None, exclude=(), reject=None,
                 data_script=(), stall=None, mail_reply=None, auth_reply=None, tls=None, host="127.0.0.1", port=0):
        super().__init__()
        self.users, self.bearers = users or {}, bearers or {}
        self.reject, self.data_script = reject or {}, list(data_script)
        self.stall, self.mail_reply, self.auth_reply = stall, mail_reply, auth_reply
        self.auths, self.connections, self.lock = [], 0, threading.Lock()
        self._context = Certs.context(tls or certs.good) if security != "none" else None
        self._security, self._exclude = security, tuple(exclude)
        self.host = host
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda loop, context: None)  # of peers that leave early
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready, host, port), daemon=True)
        self._thread.start()
        ready.wait(10)

    @property
    def mails(self):
        return self._all()

    def _run(self, ready, host, port):
        asyncio.set_event_loop(self._loop)
        self.never = asyncio.Event()
        tls = self._context if self._security == "tls" else None
        server = self._loop.run_until_complete(self._loop.create_server(self._protocol, host, port, ssl=tls))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        with contextlib.suppress(Exception):
            self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _protocol(self):
        self.connections += 1
        if self.stall == "banner":
            return asyncio.Protocol()
        methods = [] if self.users else ["PLAIN", "LOGIN"]
        methods += [] if self.bearers else ["XOAUTH2"]
        offered = self._security in ("starttls", "optional")
        return smtp.SMTP(
            _Handler(self), hostname="mail.test", ident="test", loop=self._loop, timeout=60,
            tls_context=self._context if offered else None, require_starttls=self._security == "starttls",
            auth_required=bool(self.users or self.bearers),
            auth_require_tls=self._security in ("starttls", "optional"),
            auth_exclude_mechanism=[*self._exclude, *methods], authenticator=self._authenticate)

    def _authenticate(self, server, session, envelope, mechanism, data):
        user, password = data.login.decode(), data.password.decode()
        good = self.users.get(user) == password
        return smtp.AuthResult(success=good, auth_data=user if good else None, handled=False)

    def close(self):
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)


# --- configuration ----------------------------------------------------------------------------------------------------


def alerts(channels, rules=None, **more):
    """The section `alerts` of a configuration with these channels, which may be on loopback: name to (kind, settings) or
    (kind, settings, what is said beside the kind: severity, ...)."""
    out = {}
    for name, (kind, settings, *beside) in channels.items():
        out[name] = {kind: settings, "allow_http": True, "allow_private": True, **(beside[0] if beside else {})}
    section = {"channels": out, **more}
    if rules is not None:
        section["rules"] = rules
    return {"alerts": section}
