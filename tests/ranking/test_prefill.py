"""Prompts of a batch that are read together before they are written on: the tokens of each by itself, nothing twice."""

from __future__ import annotations

import random

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from support.killed import killed_after
from support.lists import drawn
from support.tiny import ARCHITECTURES, WINDOW, save_tiny

from layerrank.attention.probe import Kept, Probe
from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.models.decoder import load_decoder
from layerrank.prompts.chat import load_prompts
from layerrank.ranking import generation
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine
from layerrank.ranking.generation import ROOM, Generation
from layerrank.ranking.mechanism import PADDING
from layerrank.ranking.reranker import Reranker
from layerrank.ranking.run import rerank

CELLS = [
    ("pointwise", {}, {}),
    ("pairwise", {"sort": "allpair"}, {}),
    ("pairwise", {"sort": "heapsort", "k": 3}, {}),
    ("pairwise", {"sort": "bubblesort", "k": 3}, {}),
    ("setwise", {"k": 3}, {}),
    ("setwise", {"k": 3}, {"prompt": "setwise_reasoning", "max_new_tokens": 20}),
    ("listwise", {"size": 4, "step": 2}, {}),
]
NAMES = ["-".join([kind, *map(str, {**own, **more}.values())]) for kind, own, more in CELLS]
NEW = 20


def rows(count=4, n=7):
    return drawn(count, n, range(8, 25), query=3, seed=11)


def tokens(count, seed):
    source = random.Random(seed)
    return [source.randrange(20, 400) for _ in range(count)]


def family():
    """A passage that stands first in several prompts, one prompt that begins another, equal ones, and one by itself."""
    header, first, second = tokens(30, 1), tokens(50, 2), tokens(40, 3)
    return [
        [*header, *first, *tokens(35, 4)],
        [*header, *second, *tokens(20, 7)],
        [*header, *first],
        tokens(60, 10),
        [*header, *first, *second],
        [*header, *first],
        [*header, *first, *tokens(3, 16)],
    ]


def trie(prompts):
    """Beginnings that differ, counted one by one."""
    return len({tuple(prompt[: end + 1]) for prompt in prompts for end in range(len(prompt))})


class Given:
    """Tokens that the model is given: of prompts, and one by one; and the rows of each step of writing."""

    def __init__(self, decoder):
        self.prompts = 0
        self.steps = []
        self._hook = decoder.model.get_input_embeddings().register_forward_hook(self._count)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._hook.remove()

    def _count(self, _, ids, __):
        count, length = ids[0].shape
        if length > 1:
            self.prompts += count * length
        else:
            self.steps.append(count)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: save_tiny(folder / name, name, "digits", bos=False) for name in ARCHITECTURES}


@pytest.fixture(scope="module")
def decoders(folders):
    return {dtype: load_decoder(folders["qwen3"], head=True, dtype=dtype) for dtype in ("float32", "bfloat16")}


def alone(decoder, prompt):
    """What transformers' own `generate` writes after a prompt."""
    decoder.causal.generation_config = transformers.GenerationConfig(do_sample=False, max_new_tokens=NEW)
    ids = torch.tensor([prompt])
    return decoder.causal.generate(input_ids=ids, attention_mask=torch.ones_like(ids))[0, len(prompt) :].tolist()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_written_is_what_each_prompt_has_alone(folders, architecture, grouping):
    decoder = load_decoder(folders[architecture], head=True)
    mechanism, prompts = Generation(decoder, load_prompts()["setwise"]), family()
    assert mechanism.probe is not None and min(map(len, prompts)) > 2 * WINDOW
    whole = [alone(decoder, prompt) for prompt in prompts]
    source, some = random.Random(1), sorted({token for row in whole for token in row})

    def ended(stop):
        return [generation._until(row, stop) for row in whole]

    drawn = [sorted(source.sample(some, min(3, len(some)))) for _ in range(200)]
    mechanism._stop = max(drawn, key=lambda stop: len({len(row) for row in ended(stop)}))  # ends here and there
    with Given(decoder) as seen:
        found = mechanism.write(prompts, NEW)
    assert found == ended(mechanism._stop) and len({len(row) for row in found}) > 2
    assert seen.prompts == trie(prompts) < 0.6 * sum(map(len, prompts))
    for prompt, row in zip(prompts[:2], found, strict=False):
        assert mechanism.write([prompt], NEW) == [row]
    assert mechanism.write(prompts, 1) == [row[:1] for row in found]


@pytest.mark.parametrize("architecture", ["llama", "mistral_window", "gemma3", "gemma2", "gpt_oss"])
def test_bfloat16(folders, architecture):
    """Logits of first and second tokens, no further from float32's than twice what the model's own bfloat16 is."""
    exact, decoder = (load_decoder(folders[architecture], head=True, dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert Generation(decoder, load_prompts()["setwise"]).probe is not None
    prompts, token = family(), 77
    kept = Probe(decoder).keep(prompts)
    first, second = decoder.head(kept.last).float(), []
    for row in range(len(prompts)):
        cache = generation._cache(decoder, kept, [row], forget=False)
        step = decoder.causal(input_ids=torch.tensor([[token]]), past_key_values=cache)
        second.append(step.logits[0, -1].float())
    ours, own, errors = torch.cat([first, torch.stack(second)]), [], []
    for model in (exact, decoder):
        ids = [torch.tensor([[*prompt, token]]) for prompt in prompts]
        logits = torch.cat([model.causal(input_ids=row).logits[:, -2:].float() for row in ids])
        own.append(logits.transpose(0, 1).reshape(ours.shape))
    errors = [(found - own[0]).norm(dim=-1) for found in (ours, own[1])]
    assert (own[0] - own[1]).abs().max() > 0
    assert (errors[0] <= 2 * errors[1].max()).all() and errors[0].mean() <= 1.5 * errors[1].mean()


class Watched:
    """A mechanism whose rounds (what is made ready before the next score), batches and answers are kept."""

    def __init__(self, mechanism):
        self.mechanism = mechanism
        self.rounds, self.batches, self.found = [], [], {}
        self._scored = True
        write = mechanism.write

        def watched(prompts, new_tokens):
            written = write(prompts, new_tokens)
            self.found.update(zip(map(tuple, prompts), written, strict=True))
            return written

        mechanism.write = watched

    def __getattr__(self, name):
        return getattr(self.mechanism, name)

    def prepare(self, request):
        if self._scored:
            self.rounds.append([])
            self._scored = False
        self.rounds[-1].append(self.mechanism.prepare(request))
        return self.rounds[-1][-1]

    def score(self, works):
        self._scored = True
        self.batches.append(works)
        return self.mechanism.score(works)


def ranked(decoder, cell, share, **limits):
    watched = Watched(cell.build(decoder, share=share, **limits))
    with Given(decoder) as seen:
        found = {one.ranking.qid: one for one in Engine(cell.sorter, watched, **limits).rank(rows())}
    return found, watched, seen


@pytest.mark.parametrize(("kind", "own", "more"), CELLS, ids=NAMES)
def test_shared_is_each_by_itself(decoders, kind, own, more):
    decoder, cell = decoders["float32"], Cell(kind, "generation", own, more)
    plain, by_itself, in_full = ranked(decoder, cell, share=False)
    shared, together, seen = ranked(decoder, cell, share=True, batch_tokens=2000)
    assert together.found == by_itself.found and len(together.found) > 4
    assert {qid: one.order for qid, one in shared.items()} == {qid: one.order for qid, one in plain.items()}
    allowed = sum(trie([work.prompt for work in each]) for each in together.rounds)
    written = sum(len(work.prompt) for each in together.rounds for work in each)
    assert allowed <= seen.prompts <= allowed / 0.9
    assert seen.prompts < in_full.prompts
    # Written counts do not know of sharing; computed ones add up to what the model was given.
    costs = [one.cost for one in shared.values()]
    assert sum(cost.prompt_tokens for cost in costs) == written
    assert sum(cost.computed_tokens for cost in costs) == seen.prompts
    groups = sum(cost.groups - cost.memo_hits for cost in costs)
    again = sum(cost.generated_tokens for cost in costs) - groups
    assert sum(cost.computed_layer_tokens for cost in costs) == (seen.prompts + again) * decoder.layers
    assert again <= sum(seen.steps)
    names = ("groups", "prompt_tokens", "generated_tokens", "forward_passes", "layer_tokens", "outcomes")
    for qid, one in plain.items():
        assert one.cost.computed_tokens == one.cost.prompt_tokens
        assert one.cost.computed_layer_tokens == one.cost.layer_tokens
        assert [getattr(one.cost, name) for name in names] == [getattr(shared[qid].cost, name) for name in names]


def test_all_pairs_take_about_half(decoders):
    cell = Cell("pairwise", "generation", {"sort": "allpair"})
    found, _, seen = ranked(decoders["float32"], cell, share=True)
    assert seen.prompts < 0.55 * sum(one.cost.prompt_tokens for one in found.values())


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40), st.integers(1, 3000))
def test_rows_written_side_by_side_fit_and_are_of_about_one_length(lengths, room):
    mechanism = Generation.__new__(Generation)
    mechanism.batch_tokens = room
    groups = mechanism._side_by_side(dict(enumerate(lengths)))
    assert sorted(row for rows in groups for row in rows) == list(range(len(lengths)))
    for rows in groups:
        padded = max(lengths[row] for row in rows) * len(rows)
        assert len(rows) == 1 or padded <= ROOM * room
        assert sum(lengths[row] for row in rows) >= (1 - PADDING) * padded


def test_a_cache_of_little_padding_within_the_budget(decoders, monkeypatch):
    decoder, made = decoders["float32"], []
    cache = generation._cache

    def watched(*given, **named):
        made.append(cache(*given, **named))
        made[-1] = made[-1].layers[0].keys.shape[0], made[-1].layers[0].keys.shape[2], given[2]
        return cache(*given, **named)

    mechanism = Generation(decoder, load_prompts()["setwise"], batch_tokens=200)
    monkeypatch.setattr(generation, "_cache", lambda *given, forget: watched(*given, forget=False))
    mechanism._stop = []
    prompts = family()
    mechanism.write(prompts, 4)
    assert len(made) > 2
    for count, longest, of in made:
        assert count == 1 or count * (longest + 4) <= ROOM * 200
        assert sum(len(prompts[row]) + 4 for row in of) >= (1 - PADDING) * count * (longest + 4)


def test_what_cannot_share_is_read_as_before(folders, monkeypatch, tmp_path):
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
    folder = save_tiny(tmp_path / "dynamic", "llama", "digits", max_position_embeddings=64, rope_parameters=rope)
    prompt, prompts = load_prompts()["setwise"], family()
    dynamic = Generation(load_decoder(folder, head=True), prompt)
    assert dynamic.probe is None and dynamic.padded
    decoder = load_decoder(folders["llama"], head=True)
    expected = Generation(decoder, prompt, share=False).write(prompts, NEW)
    assert Generation(decoder, prompt).probe is not None

    def refused(decoder):
        raise UserError(f"model {decoder.name}: it handles attention by itself")

    gather = Kept.gather

    def other(self, rows, *, forget=False):
        for keys, values in gather(self, rows, forget=forget):
            yield keys, values + 1

    for where, name, instead in ((generation, "Probe", refused), (Kept, "gather", other)):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, instead)
            mechanism = Generation(decoder, prompt)
        assert mechanism.probe is None and mechanism.padded
        assert mechanism.write(prompts, NEW) == expected


def test_a_killed_run_goes_on_from_the_middle_of_shared_work(tmp_path, folders):
    cell = Cell("pairwise", "generation", {"k": 3})

    def run(name):
        output, costs = tmp_path / name / "run.txt", tmp_path / name / "run.costs.jsonl"
        output.parent.mkdir(exist_ok=True)
        rerank(rows(), cell, folders["qwen3"], output=output, costs=costs, tag="cell", batch_tokens=2000)
        return output.read_bytes(), files.read_costs(costs)

    expected, whole = run("whole")
    with killed_after(2):
        run("resumed")
    again, costs = run("resumed")
    assert again == expected
    names = ("qid", "groups", "prompt_tokens", "generated_tokens", "layer_tokens", "outcomes")
    for one, other in zip(costs, whole, strict=True):
        assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]
        assert 0 < one.computed_tokens < one.prompt_tokens


def test_a_reranker_shares_as_the_command_does(tmp_path, folders):
    cell = Cell("pairwise", "generation", {"k": 3, "sort": "heapsort"})
    output, costs = tmp_path / "run.txt", tmp_path / "costs.jsonl"
    rerank(rows(), cell, folders["qwen3"], output=output, costs=costs, tag="cell")
    settings = {"k": 3, "sort": "heapsort"}
    reranker = Reranker(folders["qwen3"], "pairwise", "generation", framework_settings=settings, dtype="float32")
    found = list(reranker.rank_many(rows()))
    assert [[str(each.id) for each in one] for one in found] == [list(one.pids) for one in files.read_run(output)]
    commanded = files.read_costs(costs)
    assert [cost.computed_tokens for cost in reranker.costs] == [cost.computed_tokens for cost in commanded]
    assert all(cost.computed_tokens < cost.prompt_tokens for cost in commanded)
