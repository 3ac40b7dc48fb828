"""What is computed once, against everything by itself: tokens, passes, seconds, and whether rankings stay the same.

Two comparisons. Beginnings that groups of a round share are computed once a pass, or each prompt is in full. And the
windows of an attention cell are read together in one job, or each in a job of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import transformers

from benchmarks.rows import SHARING_WORDS, WINDOWS_EACH, Row, row_of
from benchmarks.settings import Settings
from benchmarks.texts import cut
from benchmarks.timing import in_turns, ratios
from layerrank.core.records import Candidates
from layerrank.core.windows import LayerWindow
from layerrank.models.decoder import Decoder, load_decoder
from layerrank.models.folder import load_config
from layerrank.prompts.tree import Tree
from layerrank.ranking.cells import Cell
from layerrank.ranking.engine import Engine, Ranked
from layerrank.ranking.mechanism import Answer, Mechanism, Request, Sharing, Work

SECTION = "sharing"
DTYPE = "float32"
QUERIES, DEPTH = 20, 20
USUAL = 4, 10
"""Queries and depth of the usual run; `--full` has all of them. Texts have as many words in both."""
MECHANISMS = ("likelihood", "generation", "attention")
CELLS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "pointwise": ("pointwise", {}),
    "pairwise allpair": ("pairwise", {"sort": "allpair"}),
    "pairwise heapsort, top 1": ("pairwise", {"sort": "heapsort", "k": 1}),
    "pairwise bubblesort, top 1": ("pairwise", {"sort": "bubblesort", "k": 1}),
    "setwise heapsort, top 1": ("setwise", {"sort": "heapsort", "k": 1}),
    "setwise bubblesort, top 1": ("setwise", {"sort": "bubblesort", "k": 1}),
    "listwise, 10 by 5": ("listwise", {"size": 10, "step": 5}),
}
"""Every framework and sort. Sorts look for the best passage alone, to keep the run short."""
COUNTED = "pairwise allpair"
"""Its groups do not depend on answers: they are counted for all queries, and a few queries are timed."""
TIMED = 1
TOGETHER = ("pointwise", "pairwise heapsort, top 1", "setwise heapsort, top 1", "listwise, 10 by 5")
"""Cells whose windows are read in one job."""


def run(settings: Settings) -> Iterator[Row]:
    """Every framework by every mechanism, attention up to a sixth of the layers; then windows in one job."""
    rows = _rows(settings)
    narrow: Decoder | None = None
    decoder: Decoder | None = None
    for mechanism in MECHANISMS:
        decoder = None  # before the next one is loaded
        for name in CELLS:
            case = f"{name}, {mechanism}"
            if name == COUNTED:
                counted, timed = f"{case}, counted over {_size(rows)}", f"{case}, timed over {_size(rows[:TIMED])}"
                if counted not in settings.measured:
                    narrow = narrow or _narrow(settings)
                    yield from _counted(counted, _cell(settings, name, mechanism, 1), narrow, rows)
                case, own = timed, rows[:TIMED]
            else:
                case, own = f"{case}, {_size(rows)}", rows
            if case not in settings.measured:
                decoder = decoder or _decoder(settings, mechanism)
                yield from _compared(settings, case, _cell(settings, name, mechanism, decoder.layers), decoder, own)
    for name in TOGETHER:
        case = f"{name}, attention, {WINDOWS_EACH}, {_size(rows)}"
        if case not in settings.measured:
            decoder = decoder or _decoder(settings, "attention")
            yield from _together(settings, case, name, decoder, rows)


def windows_of(layers: int) -> list[LayerWindow]:
    """As many as `WINDOWS_EACH` says, within the lowest sixth of the layers, which end at different ones."""
    own = max(1, layers // 6)
    return [LayerWindow(0, own - 1), LayerWindow(own // 2, max(own // 2, own - 2)), LayerWindow(0, own // 2)]


def _rows(settings: Settings) -> list[Candidates]:
    """The collection's first queries, lists and texts cut."""
    queries, depth = (2, 5) if settings.quick else (QUERIES, DEPTH) if settings.full else USUAL
    return cut(settings.rows()[:queries], depth, SHARING_WORDS)


def _size(rows: Sequence[Candidates]) -> str:
    return f"{len(rows)} × {len(rows[0])}"


def _decoder(settings: Settings, mechanism: str) -> Decoder:
    layers = windows_of(int(load_config(settings.model).num_hidden_layers))[0].end + 1
    return settings.decoder(DTYPE, head=mechanism != "attention", layers=layers if mechanism == "attention" else None)


def _narrow(settings: Settings) -> Decoder:
    """A model of one narrow layer with the same tokenizer, to count what is asked; its answers mean nothing."""
    config = transformers.LlamaConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=int(load_config(settings.model).vocab_size),
        max_position_embeddings=int(load_config(settings.model).max_position_embeddings),
        eos_token_id=settings.tokenizer.eos_token_id,
    )
    folder = settings.work / "narrow"
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    settings.tokenizer.save_pretrained(folder)
    return load_decoder(folder, head=True, dtype=DTYPE, device=settings.device)


def _cell(settings: Settings, name: str, mechanism: str, layers: int, window: LayerWindow | None = None) -> Cell:
    framework, sort = CELLS[name]
    window = window or windows_of(layers)[0]
    own: dict[str, Any] = {"family": settings.family, "windows": window} if mechanism == "attention" else {}
    return Cell(framework, mechanism, sort, **own)


@dataclass
class _Log:
    """The works of each round: those that are made ready before anything is scored."""

    rounds: list[list[Work]] = field(default_factory=list)
    scored: bool = True

    def ready(self, work: Work) -> None:
        """Keep a work that was made ready."""
        if self.scored or not self.rounds:
            self.rounds.append([])
        self.scored = False
        self.rounds[-1].append(work)

    @property
    def fewest(self) -> int:
        """Tokens that the rounds take at least."""
        return sum(fewest([_tree(work) for work in works]) for works in self.rounds)


def _tree(work: Work) -> Tree:
    """What the model reads of a work; a prompt that is written on has no branches."""
    tree: Tree | None = getattr(work.prompt, "tree", None)
    return Tree(work.prompt) if tree is None else tree


class _Watched:
    """A mechanism that keeps the works of each round in a log."""

    def __init__(self, mechanism: Mechanism, log: _Log) -> None:
        self.mechanism = mechanism
        self.log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mechanism, name)

    def prepare(self, request: Request) -> Work:
        work = self.mechanism.prepare(request)
        self.log.ready(work)
        return work

    def score(self, works: Sequence[Work]) -> list[Answer]:
        self.log.scored = True
        return self.mechanism.score(works)

    def score_for(self, works: Sequence[Work], whom: Sequence[Sequence[_Watched]]) -> list[list[Answer]]:
        self.log.scored = True
        plain = [[cast(Sharing, each.mechanism) for each in every] for every in whom]
        return cast(Sharing, self.mechanism).score_for(works, plain)


class _Counter:
    """Counts the tokens of prompts that the model is given, padding too, the passes over them, and steps of answers."""

    def __init__(self, decoder: Decoder) -> None:
        self.tokens = self.passes = self.steps = 0
        self._hook = decoder.model.get_input_embeddings().register_forward_hook(self._count)

    def _count(self, _: Any, given: Any, __: Any) -> None:
        if given[0].shape[-1] > 1:
            self.tokens += given[0].numel()
            self.passes += 1
        else:
            self.steps += 1

    def __enter__(self) -> _Counter:
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


@dataclass(frozen=True)
class _Found:
    """One way to rank all queries: rankings by system and query, and what was counted."""

    rankings: Mapping[tuple[int, str], Sequence[str]]
    written: int
    kept: int
    tokens: int
    passes: int
    steps: int
    fewest: int


def _ranked(cells: Sequence[Cell], decoder: Decoder, rows: Sequence[Candidates], share: bool) -> _Found:
    """Rank by one cell, or by several in one job."""
    log = _Log()
    watched = [_Watched(cell.build(decoder, share=share), log) for cell in cells]
    mechanism: Any = watched if len(watched) > 1 else watched[0]
    with _Counter(decoder) as counter:
        found: list[Ranked] = list(Engine(cells[0].sorter, mechanism, name=cells[0].name).rank(rows))
    return _Found(
        {(one.system, one.ranking.qid): one.ranking.pids for one in found},
        sum(one.cost.prompt_tokens for one in found),
        sum(one.cost.computed_tokens for one in found),
        counter.tokens,
        counter.passes,
        counter.steps,
        log.fewest,
    )


def _compared(settings: Settings, case: str, cell: Cell, decoder: Decoder, rows: Sequence[Candidates]) -> Iterator[Row]:
    """One cell, each prompt in full and beginnings once."""
    found: dict[str, _Found] = {}

    def ranked(name: str, share: bool) -> None:
        found[name] = _ranked([cell], decoder, rows, share)

    _ranked([cell], decoder, cut(rows[:1], 3, SHARING_WORDS), share=True)
    runs = {"in full": lambda: ranked("in full", False), "shared": lambda: ranked("shared", True)}
    seconds = in_turns(runs, 1 if settings.full else settings.rounds, settings.device, warmup=False)
    yield from _counts(case, found["in full"], found["shared"])
    if found["shared"].steps:
        yield Row(SECTION, case, "steps of answers in full", "", float(found["in full"].steps))
        yield Row(SECTION, case, "steps of answers", "", float(found["shared"].steps))
    yield from _seconds(case, seconds, {"in full": "in full", "shared": "shared"}, "faster")
    yield _same(case, found["in full"].rankings, found["shared"].rankings)


def _counted(case: str, cell: Cell, narrow: Decoder, rows: Sequence[Candidates]) -> Iterator[Row]:
    """A cell whose groups do not depend on answers: tokens and passes, the model itself not run."""
    found = [_ranked([cell], narrow, rows, share) for share in (False, True)]
    yield from _counts(case, *found)


def _counts(case: str, full: _Found, shared: _Found) -> Iterator[Row]:
    written, computed, allowed = shared.written, shared.tokens, shared.fewest
    yield Row(SECTION, case, "tokens written", "", float(written))
    yield Row(SECTION, case, "tokens computed", "", float(computed), note=f"{shared.kept} in the costs")
    yield Row(SECTION, case, "the fewest that the rounds allow", "", float(allowed))
    yield Row(SECTION, case, "the fewest, share of computed", "%", 100 * allowed / computed, target="≥ 90")
    saved = 100 * (written - computed) / (written - allowed) if written > allowed else 100.0
    yield Row(SECTION, case, "saved of what can be saved", "%", saved)
    yield Row(SECTION, case, "passes in full", "", float(full.passes))
    yield Row(SECTION, case, "passes", "", float(shared.passes))


def _together(settings: Settings, case: str, name: str, decoder: Decoder, rows: Sequence[Candidates]) -> Iterator[Row]:
    """Several windows of an attention cell, a job each and in one job."""
    cells = [_cell(settings, name, "attention", decoder.layers, window) for window in windows_of(decoder.layers)]
    found: dict[str, list[_Found]] = {}

    def apart() -> None:
        found["apart"] = [_ranked([cell], decoder, rows, share=True) for cell in cells]

    def together() -> None:
        found["together"] = [_ranked(cells, decoder, rows, share=True)]

    _ranked([cells[0]], decoder, cut(rows[:1], 3, SHARING_WORDS), share=True)
    runs: dict[str, Callable[[], object]] = {"apart": apart, "together": together}
    seconds = in_turns(runs, 1 if settings.full else settings.rounds, settings.device, warmup=False)
    [one] = found["together"]
    yield Row(SECTION, case, "tokens written, all windows", "", float(one.written))
    for way, label in (("apart", "a job each"), ("together", "one job")):
        yield Row(SECTION, case, f"tokens computed, {label}", "", float(sum(each.tokens for each in found[way])))
        yield Row(SECTION, case, f"passes, {label}", "", float(sum(each.passes for each in found[way])))
    yield Row(SECTION, case, "the fewest that its rounds allow", "", float(one.fewest))
    yield from _seconds(case, seconds, {"apart": "a job each", "together": "one job"}, "faster in one job")
    apart_rankings = {
        (number, qid): order for number, each in enumerate(found["apart"]) for (_, qid), order in each.rankings.items()
    }
    yield _same(case, apart_rankings, one.rankings)


def _seconds(case: str, seconds: Mapping[str, list[float]], names: Mapping[str, str], faster: str) -> Iterator[Row]:
    for way, label in names.items():
        yield row_of(SECTION, case, label, "s", seconds[way])
    before, after = names
    yield row_of(SECTION, case, faster, "×", ratios(seconds[before], seconds[after]))


def _same(
    case: str, before: Mapping[tuple[int, str], Sequence[str]], after: Mapping[tuple[int, str], Sequence[str]]
) -> Row:
    """How many rankings are the same, of how many."""
    same = sum(after[key] == order for key, order in before.items())
    return Row(SECTION, case, "same rankings", "", float(same), target=f"≥ {len(before)}", note=f"of {len(before)}")


def fewest(trees: Sequence[Tree]) -> int:
    """Tokens that prompts take at least: different beginnings, counted one by one, and all branches."""
    beginnings = set()
    for tree in trees:
        before = 0
        for token in tree.prefix:
            before = hash((before, token))
            beginnings.add(before)
    return len(beginnings) + sum(len(branch) for tree in trees for branch in tree.branches)
