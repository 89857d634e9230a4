"""Batches whose requests stand in a file: held when they are ordered, billed when they are fetched."""

import gzip
import json
import threading

import pytest

from harness import ScriptedVendor, Wire, budget, call, field, nanousd, wait_for

MODEL = "gpt-4.1-mini"
CHAT_URL = "/v1/chat/completions"
FORM = "multipart/form-data; boundary=B0undary"
KEY = {"authorization": "Bearer client-key"}


def chat_line(i, url=CHAT_URL, method="POST", **more):
    body = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": f"Question {i}"}], **more}
    return {"custom_id": f"r{i}", "method": method, "url": url, "body": {k: v for k, v in body.items() if v is not None}}


def lines(*items, sort_keys=False):
    return "".join(json.dumps(item, sort_keys=sort_keys) + "\n" for item in items).encode()


def form(content, purpose="batch", purpose_last=False):
    word = f'--B0undary\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'.encode()
    file = (b'--B0undary\r\nContent-Disposition: form-data; name="file"; filename="b.jsonl"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    return (file + word if purpose_last else word + file) + b"--B0undary--\r\n"


def post(port, path, body, content_type="application/json", pieces=None, **fields):
    """On a connection of its own, so that any worker may get it; `pieces`: chunked, so many bytes at a time."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {content_type}"]
    head.append("Transfer-Encoding: chunked" if pieces else f"Content-Length: {len(data)}")
    head += [f"{k.replace('_', '-')}: {v}" for k, v in (KEY | fields).items()]
    w = Wire(port)
    try:
        w.send(("\r\n".join(head) + "\r\n\r\n").encode())
        if not pieces:
            w.send(data)
        for i in range(0, len(data), pieces or len(data)) if pieces else ():
            part = data[i : i + pieces]
            w.send(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        if pieces:
            w.send(b"0\r\n\r\n")
        return w.read_answer()
    finally:
        w.close()


def upload(bursar, content, name="file", **how):
    more = {k: how.pop(k) for k in ("pieces", "accept_encoding") if k in how}
    answer = post(bursar.proxy, "/openai/v1/files", form(content, **how), FORM, x_vendor_call=name, **more)
    assert answer.status == 200, answer.body
    return json.loads(gzip.decompress(answer.body) if answer["content-encoding"] == "gzip" else answer.body)["id"]


def order(bursar, file, name="batch", endpoint=CHAT_URL, **more):
    body = {"input_file_id": file, "endpoint": endpoint, "completion_window": "24h", **more}
    return post(bursar.proxy, "/openai/v1/batches", body, x_vendor_call=name, x_vendor_out="24")


def get(bursar, path):
    return call(bursar.proxy, "/openai/v1" + path, method="GET", headers=KEY)


def net(bursar):
    """What the ledger charges in all: rows and their corrections."""
    bursar.wait_settled()
    return sum(nanousd(r["usd"]) for r in bursar.ledger())


def posted(bursar, name="all"):
    return nanousd(bursar.budget(name)["spent"])


def refused(answer, status=400):
    assert answer.status == status, (answer.status, answer.body)
    return answer.json()["error"]["message"]


# --- with a vendor that does batches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"purpose_last": True}, {"pieces": 7}, {"sorted": True}])
def test_a_batch_is_held_when_it_is_ordered_and_billed_when_it_is_fetched(vendor, start_bursar, how):
    bursar = start_bursar({"budgets": [budget("1 USD")], "workers": 4})
    content = lines(*[chat_line(i) for i in range(5)], sort_keys=how.pop("sorted", False))
    for _ in range(4):  # by whichever workers
        file = upload(bursar, content, **how)
    assert bursar.ledger() == []  # uploads are nobody's calls
    created = order(bursar, file)
    assert created.status == 200, created.body
    bursar.wait_settled()
    (row,) = bursar.ledger()
    bill = vendor.bill()["batch"]["nanousd"]
    held = nanousd(row["usd"])
    assert row["model"] == MODEL and posted(bursar) == held
    assert bill <= held < 20 * bill, (bill, held)
    batch = get(bursar, f"/batches/{created.json()['id']}").json()
    assert batch["status"] == "completed"
    wait_for(lambda: net(bursar) == bill, "the batch's bill", 20)
    # the same bill by another name, and once more
    for path in (f"/files/{batch['output_file_id']}/content", f"/batches/{batch['id']}", f"/files/{batch['output_file_id']}/content"):
        assert get(bursar, path).status == 200
    assert net(bursar) == bill
    wait_for(lambda: posted(bursar) == bill, "the budget to follow", 20)


def test_what_does_not_fit_the_budget_is_not_ordered(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("0.0005 USD")]})
    few = upload(bursar, lines(chat_line(1)), "few")
    many = upload(bursar, lines(*[chat_line(i) for i in range(200)]), "many")
    hits = vendor.hits()
    message = refused(order(bursar, many), 402)
    assert "all" in message
    assert vendor.hits() == hits and posted(bursar) == 0 == bursar.held()
    assert order(bursar, few).status == 200
    assert 0 < posted(bursar) < 500_000


def test_request_budgets_count_what_is_in_the_batch(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("10 requests")]})
    file = upload(bursar, lines(*[chat_line(i) for i in range(4)]))
    assert order(bursar, file, "a").status == 200
    assert order(bursar, file, "b").status == 200
    refused(order(bursar, file, "c"), 402)


def test_files_that_nobody_knows_are_refused_in_hard_budgets(vendor, start_bursar):
    bursar = start_bursar()
    hits = vendor.hits()
    for file in ("file-unknown", "", "x" * 300):
        message = refused(order(bursar, file))
        assert "upload the file again through bursar" in message
    assert file not in message and vendor.hits() == hits
    # forms of which the vendor may see another
    content = form(lines(chat_line(1)))
    two = post(bursar.proxy, "/openai/v1/files", content, FORM, x_vendor_call="two", Content_Type="multipart/form-data; boundary=other")
    coded = post(bursar.proxy, "/openai/v1/files", content, FORM, x_vendor_call="coded", content_encoding="gzip")
    for answer in (two, coded):
        assert answer.status != 200 or "not uploaded" in refused(order(bursar, answer.json()["id"]))
    # other uploads are no batches
    file = upload(bursar, lines(chat_line(1)), purpose="fine-tune")
    assert "not uploaded" in refused(order(bursar, file))


def test_after_a_restart_the_file_is_uploaded_again(vendor, start_bursar):
    bursar = start_bursar()
    content = lines(chat_line(1))
    file = upload(bursar, content)
    assert order(bursar, file).status == 200
    bursar.stop()
    bursar.start()
    assert "since it was started" in refused(order(bursar, file))
    created = order(bursar, upload(bursar, content), "again")
    assert created.status == 200
    # the batch of before is still known
    assert get(bursar, f"/batches/{created.json()['id']}").status == 200
    both = vendor.bill()
    wait_for(lambda: net(bursar) > both["again"]["nanousd"], "the rows of both", 20)


@pytest.mark.parametrize("content, what", [
    (b"", "empty"),
    (lines(chat_line(1)) + b"{", "line 2"),
    (lines(chat_line(1, url="/v1/videos")), "line 1: what its endpoint costs"),
    (lines(chat_line(1), chat_line(2, url="/v1/embeddings")), "line 2: it goes to another endpoint"),
    (lines(chat_line(1, model=None)), "names no model"),
    (lines(chat_line(1)).replace(b'"max_tokens": 64', b'"max_tokens": 1, "max_tokens": 9999'), "stands twice"),
    (lines(chat_line(1, tools=[{"type": "mcp"}])), "MCP"),
    (lines(chat_line(1, url="/v1/embeddings")), "another endpoint than the batch names"),
])
def test_files_that_bound_nothing_are_refused_in_hard_budgets(vendor, start_bursar, content, what):
    bursar = start_bursar()
    file = upload(bursar, content)  # which is the vendor's to judge
    hits = vendor.hits()
    assert what in refused(order(bursar, file))
    assert vendor.hits() == hits


def test_batches_from_elsewhere_than_a_file(vendor, start_bursar):
    blob = {"input_blob": "https://blobs.example/in.jsonl", "endpoint": CHAT_URL, "completion_window": "24h"}
    for changes, status in (({}, 400), ({"budgets": [budget("1 USD", mode="soft")]}, None)):
        bursar = start_bursar(changes, name=f"b{status}")
        hits = vendor.hits()
        answer = post(bursar.proxy, "/openai/v1/batches", blob)
        assert (vendor.hits() > hits) == (status is None), answer.body
    bursar = start_bursar(name="both")
    file = upload(bursar, lines(chat_line(1)))
    assert "requests of its own" in refused(order(bursar, file, requests=[{"body": chat_line(1)["body"]}]))


def test_soft_budgets_let_all_pass(vendor, start_bursar):
    bursar = start_bursar({"budgets": [budget("1 USD", mode="soft")]})
    file = upload(bursar, lines(chat_line(1)))
    known = order(bursar, file)
    bursar.stop()
    bursar.start()
    unknown = order(bursar, file, "unknown")
    assert (known.status, unknown.status) == (200, 200)
    for answer in (known, unknown):
        assert get(bursar, f"/batches/{answer.json()['id']}").status == 200
    bills = vendor.bill()
    wait_for(lambda: net(bursar) == bills["batch"]["nanousd"] + bills["unknown"]["nanousd"], "both bills", 20)


def test_models_of_one_file_fall_under_the_same_budgets(vendor, start_bursar):
    bursar = start_bursar({"budgets": [
        budget("1 USD", mode="soft"), budget("1 USD", "dear", match={"model": "gpt-4.1-mini"})]})
    file = upload(bursar, lines(chat_line(1, model="gpt-4o"), chat_line(2)))
    assert "different budgets" in refused(order(bursar, file))
    file = upload(bursar, lines(chat_line(1, model="gpt-4o")))
    assert order(bursar, file).status == 200


def test_models_without_a_price_are_refused(vendor, start_bursar):
    bursar = start_bursar()
    file = upload(bursar, lines(chat_line(1, model="gpt-of-nobody")))
    assert "gpt-of-nobody" in refused(order(bursar, file))
    file = upload(bursar, lines(chat_line(1), chat_line(2, model="gpt-of-nobody")))
    assert "no price" in refused(order(bursar, file))


# --- with one that does what it is told -------------------------------------------------------------------------------


class Shelf:
    """Files and batches by path; what a test puts here is what is fetched."""

    def __init__(self):
        self.objects, self.lock, self.n, self.coding = {}, threading.Lock(), 0, None
        self.vendor = ScriptedVendor(self.serve)

    def answer(self, head, body):
        method, path = head.split(b" ", 2)[:2]
        path = path.decode()
        with self.lock:
            if method == b"GET":
                return self.objects.get(path)
            self.n += 1
            if path.endswith("/files"):
                return {"object": "file", "x": {"id": "file-wrong"}, "id": f"file-{self.n}", "purpose": "batch"}
            if path.endswith("/cancel"):
                return self.objects.get(path.removesuffix("/cancel"))
            return {"id": f"batch_{self.n}", "object": "batch", "status": "validating", "usage": None}

    def serve(self, vendor, c):
        while (request := vendor.read_request(c)) is not None:
            found = self.answer(*request)
            data = found if isinstance(found, bytes) else json.dumps(found or {"error": {"message": "no"}}).encode()
            coding = ""
            if self.coding and self.coding in (field(request[0], "accept-encoding") or ""):
                data, coding = gzip.compress(data), f"Content-Encoding: {self.coding}\r\n"
            c.sendall(f"HTTP/1.1 {200 if found else 404} OK\r\nContent-Type: application/json\r\n{coding}"
                      f"Content-Length: {len(data)}\r\n\r\n".encode() + data)

    def batch(self, batch_id, status, **more):
        self.objects[f"/v1/batches/{batch_id}"] = {
            "id": batch_id, "object": "batch", "status": status, "model": MODEL, "output_file_id": None, "usage": None, **more}


@pytest.fixture
def shelf():
    s = Shelf()
    yield s
    s.vendor.stop()


@pytest.fixture
def ordered(shelf, start_bursar):
    """A bursar, the shelf, and a batch of three that was ordered and charged its worst case."""
    bursar = start_bursar({"providers": {"openai": {"base_url": f"http://127.0.0.1:{shelf.vendor.plain}"}}})
    file = upload(bursar, lines(*[chat_line(i) for i in range(3)]))
    batch = order(bursar, file).json()["id"]
    wait_for(lambda: net(bursar) > 0, "the row of the order", 20)
    return bursar, batch


def result(i, tokens_in, tokens_out):
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return {"id": f"q{i}", "custom_id": f"r{i}", "response": {"status_code": 200, "body": {"model": MODEL, "usage": usage}}, "error": None}


NOTHING = {"total": 3, "completed": 0, "failed": 0}


@pytest.mark.parametrize("status, more", [
    ("failed", {"errors": {"data": [{"code": "x"}]}, "request_counts": NOTHING}),
    ("cancelled", {"request_counts": NOTHING}),
    ("expired", {"request_counts": NOTHING}),
    ("expired", {"request_counts": {"total": 3, "completed": 0, "failed": 3}, "error_file_id": "file-e"}),
])
def test_a_batch_of_which_nothing_was_done_costs_nothing(ordered, shelf, status, more):
    bursar, batch = ordered
    shelf.batch(batch, "in_progress", request_counts=NOTHING)
    worst = net(bursar)
    assert get(bursar, f"/batches/{batch}").status == 200
    assert net(bursar) == worst  # it may still come
    shelf.batch(batch, status, **more)
    assert get(bursar, f"/batches/{batch}").status == 200
    wait_for(lambda: net(bursar) == 0, "the charge to be taken back", 20)
    wait_for(lambda: posted(bursar) == 0, "the budget to follow", 20)


def test_a_cancelled_batch_costs_what_it_reports(ordered, shelf):
    bursar, batch = ordered
    shelf.batch(batch, "cancelling")
    assert post(bursar.proxy, f"/openai/v1/batches/{batch}/cancel", b"").status == 200
    shelf.batch(batch, "cancelled", output_file_id="file-o", request_counts={"total": 3, "completed": 1, "failed": 0},
                usage={"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100})
    assert get(bursar, f"/batches/{batch}").status == 200
    # 0.40 and 1.60 USD a million, at half the price
    wait_for(lambda: net(bursar) == 1000 * 200 + 100 * 800, "the bill", 20)


def test_a_batch_object_without_usage_is_billed_by_its_results(ordered, shelf):
    bursar, batch = ordered
    worst = net(bursar)
    shelf.batch(batch, "completed", output_file_id="file-o", request_counts={"total": 3, "completed": 2, "failed": 1})
    assert get(bursar, f"/batches/{batch}").status == 200
    assert net(bursar) == worst
    shelf.objects["/v1/files/file-o/content"] = lines(result(0, 100, 10), result(1, 200, 20))
    for _ in range(2):
        assert get(bursar, "/files/file-o/content").status == 200
        wait_for(lambda: net(bursar) == 300 * 200 + 30 * 800, "the bill of the results", 20)


def test_long_context_prices_go_by_each_request_and_not_by_their_sum(shelf, start_bursar, tmp_path):
    book = tmp_path / "book.json"
    book.write_text(json.dumps({"format": "bursar-prices/1", "version": 1, "currency": "USD", "providers": [{"id": "openai", "models": [{
        "id": MODEL, "max_out": 1000, "ctx": 100000, "match": [["starts_with", MODEL]], "prices": [
            {"rates": {"in": "2", "out": "4"}}, {"over": 1000, "rates": {"in": "20", "out": "40"}}]}]}]}))
    bursar = start_bursar({
        "prices": {"book": str(book)}, "providers": {"openai": {"base_url": f"http://127.0.0.1:{shelf.vendor.plain}"}}})
    used, bill = {"input_tokens": 3000, "output_tokens": 300, "total_tokens": 3300}, 3000 * 2000 + 300 * 4000
    counts = {"total": 30, "completed": 30, "failed": 0}
    charged = 0
    # the second has one request that may be over the border, so all may
    for last, times in (({}, 1), ({"stop": "long " * 300}, 10)):
        file = upload(bursar, lines(*[chat_line(i) for i in range(29)], chat_line(29, **last)))
        batch = order(bursar, file).json()["id"]
        wait_for(lambda: net(bursar) - charged >= times * bill, "the hold of the order", 20)
        shelf.batch(batch, "completed", output_file_id=f"{batch}-out", usage=used, request_counts=counts)
        assert get(bursar, f"/batches/{batch}").status == 200
        charged += times * bill
        wait_for(lambda: net(bursar) == charged, "the bill", 20)
    # results that are fetched alone say it line by line
    shelf.objects["/v1/files/file-other/content"] = lines(*[result(i, 900, 10) for i in range(3)])
    assert get(bursar, "/files/file-other/content").status == 200
    wait_for(lambda: net(bursar) == charged + 3 * (900 * 2000 + 10 * 4000), "the bill of a file", 20)
    # the ledger can be computed again from its rows
    assert bursar.cli("prices", "reprice", "--since", "2020-01-01", "--dry-run", check=False).returncode == 0
    assert bursar.cli("verify").returncode == 0


def test_the_answer_to_an_upload_may_be_compressed(shelf, start_bursar):
    bursar = start_bursar({"providers": {"openai": {"base_url": f"http://127.0.0.1:{shelf.vendor.plain}"}}})
    shelf.coding = "gzip"
    file = upload(bursar, lines(chat_line(1)), accept_encoding="gzip, x-unheard")
    assert order(bursar, file).status == 200
    assert field(shelf.vendor.heads[0], "accept-encoding") == "gzip"
