"""What a server is and what it honours, tried before it is used: what it silently ignores is refused by name."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.files import read_object
from layerrank.models.client import Budget, Client, RefusedError, Server, used
from layerrank.models.engine import started
from layerrank.models.identity import identify, read_record
from layerrank.models.served import CLOSE, FIRST, Served, Trial

SIZES = (1000, 100, 20, 5)
"""Numbers of log-probabilities that a server is tried with, after the whole vocabulary."""

TEXT = "The capital of France is Paris, and 12 + 7 = 19. The wing of a plane lifts it."


def server_of(folder: Path, servers: Mapping[str, Any]) -> Server:
    """Where the model in a folder is served, of `servers` by name; `UserError` where they do not say."""
    name = identify(folder).name
    if not isinstance(servers.get(name), dict):
        raise UserError(f"--servers: it does not say where the model {name!r} is served")
    return Server.read(servers[name], f"models entry {name}")


def read_trial(path: Path) -> Trial:
    """What `try-server` wrote; `UserError` where it is something else."""
    try:
        return Trial(**read_object(path))
    except TypeError:
        raise UserError(f"{path}: it is no trial of a server") from None


@contextlib.contextmanager
def serving(
    folder: Path, server: Server, *, budget: Budget | None = None, tried: Trial | None = None
) -> Iterator[Served]:
    """Yield a model that is served, its engine running for the time of the block where it has one.

    Args:
        folder: of `fetch-model`, from an entry of source `endpoint`.
        server: where it is.
        budget: what may be spent.
        tried: what an earlier trial found: the server must be the same now, and its findings are used.

    Raises:
        UserError: the server cannot be started or reached, ignores what it is asked for, or is another one than was
            tried.
    """
    from layerrank.models.folder import load_tokenizer

    record, identity, tokenizer = read_record(folder), identify(folder), load_tokenizer(folder)
    with started(server, identity.name) as running, Client(running, identity.name, budget) as client:
        facts = _facts(client, record["served"], record["interface"])
        if tried is not None and tried.identity != facts.identity:
            raise UserError(
                f"model {identity.name}: {running.address} is {' '.join(facts.identity)}, but the trial was of "
                f"{' '.join(tried.identity)}: delete the study's file of the trial to begin anew"
            )
        model = Served(
            client=client,
            trial=facts if tried is None else tried,
            tokenizer=tokenizer,
            name=identity.name,
            weights=facts.weights(identity.weights),
            context=record.get("context") or facts.context,
            layers=int(record.get("layers") or 0),
        )
        yield model if tried is not None else dataclasses.replace(model, trial=_tried(model))


# What a server is, as known engines tell beside the OpenAI interface: version, digest of the weights, context.

Told = tuple[str, str, int | None]


def _llama_cpp(client: Client, served: str) -> Told | None:
    props = client.get("/props")
    if not isinstance(props, dict) or "build_info" not in props:
        return None
    return str(props["build_info"]), "", props.get("default_generation_settings", {}).get("n_ctx")


def _vllm(client: Client, served: str) -> Told | None:
    card = _card(client, served)
    if card.get("owned_by") != "vllm":
        return None
    return str((client.get("/version") or {}).get("version", "")), "", card.get("max_model_len")


def _sglang(client: Client, served: str) -> Told | None:
    if _card(client, served).get("owned_by") != "sglang":
        return None
    told = client.get("/get_server_info") or client.get("/server_info") or {}
    return str(told.get("version", "")), str(told.get("weight_version", "")), told.get("context_length")


def _tgi(client: Client, served: str) -> Told | None:
    told = client.get("/info")
    if not isinstance(told, dict) or "model_sha" not in told:
        return None
    return str(told.get("version", "")), str(told["model_sha"] or ""), told.get("max_total_tokens")


def _ollama(client: Client, served: str) -> Told | None:
    told = client.get("/api/version")
    if not isinstance(told, dict) or "version" not in told:
        return None
    models = (client.get("/api/tags") or {}).get("models", [])
    digests = [str(model.get("digest", "")) for model in models if served in (model.get("name"), model.get("model"))]
    return str(told["version"]), next(iter(digests), ""), None


def _other(client: Client, served: str) -> Told | None:
    return str(_card(client, served).get("owned_by", "")), "", None


ENGINES: Mapping[str, Callable[[Client, str], Told | None]] = {
    "llama.cpp": _llama_cpp,
    "vllm": _vllm,
    "sglang": _sglang,
    "tgi": _tgi,
    "ollama": _ollama,
    "unknown": _other,
}
"""Engines, by what only they answer; the first that fits is it."""


def _card(client: Client, served: str) -> dict[str, Any]:
    """What a server says of a model in its list."""
    listed = client.get("/v1/models")
    cards = listed.get("data", []) if isinstance(listed, dict) else []
    return next((card for card in cards if card.get("id") == served), cards[0] if len(cards) == 1 else {})


def _facts(client: Client, served: str, interface: str) -> Trial:
    """A trial of which nothing is known yet but what the server tells of itself."""
    for engine, ask in ENGINES.items():
        told = ask(client, served)
        if told is not None:
            version, digest, context = told
            return Trial(engine, version, digest, served, interface, context)
    raise AssertionError("the last of ENGINES answers for any")


# What a server honours.


def _tried(model: Served) -> Trial:
    """Try a server; `UserError` names what it ignores."""
    if model.interface == "chat":
        turns = [{"role": "user", "content": TEXT}]
        first, second = (model.write([turns], 8)[0] for _ in range(2))
        return dataclasses.replace(model.trial, repeatable=first == second)
    _check_token_ids(model)
    _check_tokenizer(model)
    ids = _ids(model, TEXT)
    biased, _, several = _returned(model, ids)
    force = model.anchor if biased else None
    found = dataclasses.replace(model.trial, echo=_echoes(model, ids), log_probabilities=several, bias=biased)
    twice = [(model.write([ids], 8), model.next(ids, min(FIRST, several), force)) for _ in range(2 * bool(several))]
    return dataclasses.replace(found, repeatable=not twice or twice[0] == twice[1])


def _ids(model: Served, text: str) -> list[int]:
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def _check_token_ids(model: Served) -> None:
    """Token ids that no tokenizer would give: a word letter by letter."""
    ids = [token for letter in "retrieval" for token in _ids(model, letter)]
    body = {**model.greedy(1), "prompt": ids}
    try:
        read, written = model.client.post("/completions", body, used)
    except RefusedError as error:
        raise UserError(f"model {model.name}: its server takes no token ids ({error}); interface: chat") from None
    if read != len(ids):
        raise UserError(
            f"model {model.name}: its server ignores token ids: it read {read} tokens where {len(ids)} were sent"
        )
    if written > 1:
        raise UserError(f"model {model.name}: its server ignores max_tokens: it wrote {written} tokens where 1 may be")


def _check_tokenizer(model: Served) -> None:
    """The server makes as many tokens of a text as the tokenizer does, with or without one that begins it."""
    read, _ = model.client.post("/completions", {**model.greedy(1), "prompt": TEXT}, used)
    own = {len(model.tokenizer(TEXT, add_special_tokens=special)["input_ids"]) for special in (True, False)}
    if not {read, read - 1} & own:
        raise UserError(
            f"model {model.name}: key 'tokenizer': it makes {min(own)} tokens of a text, the server {read}: it is not "
            "the model's"
        )


def _returned(model: Served, ids: Sequence[int]) -> tuple[bool, dict[int, float], int]:
    """Whether a bias is honoured, log-probabilities after a prompt, and how many of them the server returns.

    A bias is honoured where the biased token is written, and the log-probabilities are those without it: the likeliest
    of V tokens has at least −log V, and would have far less beside one that is pushed up.
    """
    vocabulary = len(model.tokenizer)
    for size in (vocabulary, *SIZES):
        for force in (model.anchor, None):
            found = _asked(model, ids, size, force)
            others = [value for token, value in found.items() if token != model.anchor]
            if not others or (force is not None and max(others) < -math.log(vocabulary) - CLOSE):
                continue
            whole = sum(map(math.exp, found.values()))
            if whole > 1 + CLOSE or (len(found) >= vocabulary and whole < 1 - CLOSE):
                raise UserError(f"model {model.name}: its server's probabilities add up to {whole:.3f}")
            return force is not None, found, min(len(found), size)
    return False, {}, 0


def _asked(model: Served, ids: Sequence[int], size: int, force: int | None) -> dict[int, float]:
    """Log-probabilities after a prompt; none where the server gives none, or refuses so many, or the bias."""
    said: list[Any] = []
    body = model.asking(ids, size, force)
    try:
        model.client.post("/completions", body, lambda answer: said.append(answer["choices"][0]))
        choice = said[-1]["logprobs"]
        found, written = model.read(choice)
    except (RefusedError, LookupError, TypeError, ValueError):
        return {}
    _check_texts(model, choice)
    return found if force in (None, written) else {}


def _check_texts(model: Served, choice: Any) -> None:
    """Where a server gives both id and text of a token, they are the tokenizer's."""
    rows = choice["content"][0]["top_logprobs"][:FIRST] if "content" in choice else []
    before = _ids(model, "a")[-1:]
    start = len(model.tokenizer.decode(before))
    for row in rows:
        own = model.tokenizer.decode([*before, row["id"]])[start:] if "id" in row else row["token"]
        if (
            own != row["token"]
            and "\ufffd" not in own + row["token"]
            and row["id"] not in model.tokenizer.all_special_ids
        ):
            raise UserError(
                f"model {model.name}: key 'tokenizer': token {row['id']} is {own!r} there, and {row['token']!r} on the "
                "server"
            )


def _echoes(model: Served, ids: Sequence[int]) -> bool:
    try:
        said = model.client.post("/completions", {**model.greedy(1), "prompt": list(ids), "echo": True}, dict)
        return str(said["choices"][0]["text"]).startswith(TEXT)
    except (RefusedError, LookupError, TypeError):
        return False
