"""Requests through a proxy that fails as told: what passes is tried again; else one line, without the key."""

import json
import logging
import threading

import pytest
from support.proxy import Proxy, between

from layerrank.core.errors import UserError
from layerrank.models import client as clients
from layerrank.models.client import Budget, BudgetError, Client, Server

BODY = {"prompt": [1, 2, 3]}
SAID = {"choices": [{"text": "2"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(clients, "WAIT", 0.01)


@pytest.fixture
def proxy():
    with between(Proxy(invent=lambda path, body: SAID, slow=0.6)) as proxy:
        yield proxy


def client_of(proxy, budget=None, **settings):
    return Client(Server(proxy.address, **{"timeout": 0.3, "retries": 3, **settings}), "served", budget)


def text(said):
    return said["choices"][0]["text"]


@pytest.mark.parametrize("fault", ["429", "408", "500", "503", "slow", "cut", "nonsense", "dropped"])
def test_what_may_pass_is_tried_again(proxy, fault):
    proxy.faults += [fault, fault]
    with client_of(proxy) as client:
        assert client.post("/completions", BODY, text) == "2"
    assert [body for _, body, _ in proxy.seen] == [BODY] * 3


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("429", "status 429"),
        ("slow", "no answer within 0.3 seconds (key 'timeout')"),
        ("cut", "RemoteProtocolError"),
        ("nonsense", "nonsense (JSONDecodeError"),
        ("dropped", "RemoteProtocolError"),
    ],
)
def test_what_does_not_pass_is_one_line(proxy, fault, words):
    proxy.faults += [fault] * 4
    with client_of(proxy) as client, pytest.raises(UserError) as error:
        client.post("/completions", BODY, text)
    assert words in str(error.value)
    assert str(error.value).startswith(f"model served: {proxy.address}/completions: ")
    assert str(error.value).endswith(", 4 times") and "\n" not in str(error.value)


def test_an_answer_without_what_is_read_from_it_is_nonsense(proxy):
    with (
        client_of(proxy, retries=1) as client,
        pytest.raises(UserError, match=r"nonsense \(KeyError: 'other'\), 2 times"),
    ):
        client.post("/completions", BODY, lambda said: said["other"])


def test_a_server_that_is_not_there_is_one_line():
    with Client(Server("http://127.0.0.1:9/v1", retries=1), "served") as client:
        with pytest.raises(
            UserError, match=r"^model served: http://127\.0\.0\.1:9/v1/completions: ConnectError.*2 times$"
        ):
            client.post("/completions", BODY, text)
        assert client.get("/props") is None


@pytest.mark.parametrize("status", ["400", "401", "404"])
def test_no_for_good_is_not_tried_again_and_the_key_is_in_no_message(proxy, status, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OUR_KEY", "s3cret-value")
    proxy.faults += [status]
    with client_of(proxy, key="OUR_KEY") as client, pytest.raises(UserError) as error:
        client.post("/completions", BODY, text)  # the proxy's message repeats the headers
    assert len(proxy.seen) == 1
    assert proxy.seen[0][2]["Authorization"] == "Bearer s3cret-value"
    assert f"status {status}" in str(error.value)
    assert "s3cret" not in str(error.value) + caplog.text
    assert ("read from OUR_KEY" in str(error.value)) == (status == "401")


def test_a_key_that_is_not_set_is_said_at_once(monkeypatch):
    monkeypatch.delenv("OUR_KEY", raising=False)
    with pytest.raises(UserError, match="key 'key': the environment variable OUR_KEY is not set"):
        Client(Server("http://127.0.0.1:9/v1", key="OUR_KEY"), "served")


def test_many_at_once_within_the_limit_and_in_order():
    barrier = threading.Barrier(3, timeout=20)

    def invent(path, body):
        barrier.wait()  # three are under way, or none gets through
        return {**SAID, "choices": [{"text": str(body["n"])}]}

    with between(Proxy(invent=invent)) as proxy, client_of(proxy, at_once=3, timeout=30) as client:
        found = client.map(lambda n: client.post("/completions", {"n": n}, text), range(12))
    assert found == [str(n) for n in range(12)]
    assert proxy.most == 3


def test_the_first_failure_ends_the_others(proxy):
    proxy.change = lambda path, body: None if body["n"] == 2 else body
    with client_of(proxy, at_once=2) as client, pytest.raises(UserError, match="status 400"):
        client.map(lambda n: client.post("/completions", {"n": n}, text), range(500))
    assert len(proxy.seen) < 500


@pytest.mark.parametrize(("limits", "sent"), [({"requests": 5}, 5), ({"tokens": 9}, 3), ({}, 8)])
def test_a_budget_is_shared_by_jobs_and_ends_them_before_anything_further_is_sent(proxy, tmp_path, limits, sent):
    path = tmp_path / "spent.json"

    def job(count):
        with client_of(proxy, Budget(path, **limits)) as client:
            for _ in range(count):
                client.post("/completions", BODY, text)

    job(2)
    if limits:
        with pytest.raises(BudgetError, match=rf"^served\.max_{next(iter(limits))}: .* are spent"):
            job(6)
    else:
        job(6)
    assert len(proxy.seen) == sent
    assert json.loads(path.read_text()) == {"requests": sent, "tokens": 4 * sent}


def test_tries_count_as_requests(proxy, tmp_path):
    proxy.faults += ["503", "503"]
    with client_of(proxy, Budget(tmp_path / "spent.json", requests=2)) as client, pytest.raises(BudgetError):
        client.post("/completions", BODY, text)
    assert len(proxy.seen) == 2


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "needs one of the keys 'address' and 'engine'"),
        ({"address": "http://a/v1", "engine": {}}, "needs one of the keys 'address' and 'engine'"),
        ({"address": "ftp://a"}, r"'ftp://a': expected http"),
        ({"address": "http://me:pass@a/v1"}, r"'http://\*\*\*@a/v1': expected http"),
        ({"address": "http://a/v1?token=hush"}, r"token=\*\*\*': expected http"),
        ({"address": "http://a/v1", "key": "sk-123-4"}, "expected the name of an environment variable"),
        ({"address": "http://a/v1", "at_once": 0}, "key 'at_once': 0: expected"),
        ({"address": "http://a/v1", "timeout": 0}, "key 'timeout': 0: expected"),
        ({"address": "http://a/v1", "retries": 1.5}, "key 'retries': 1.5: expected"),
    ],
)
def test_what_is_no_server_is_refused_and_hides_what_may_be_secret(entry, words):
    with pytest.raises(UserError, match=words) as error:
        Server.read(entry, "models entry m")
    assert "pass" not in str(error.value) and "hush" not in str(error.value) and "sk-123" not in str(error.value)
