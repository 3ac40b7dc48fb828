"""Cells of the grid framework × mechanism: which settings a cell takes, and how it is put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerrank.attention.scores import MASKED, check_strategy, heads_within, last_layer
from layerrank.core.errors import UserError
from layerrank.core.heads import Head
from layerrank.core.records import Candidates, Passage, Query
from layerrank.core.windows import LayerWindow
from layerrank.models.identity import is_served, read_record
from layerrank.prompts.icr import PromptSettings, fitting_family
from layerrank.ranking.frameworks import Sorter, make_sorter
from layerrank.ranking.mechanism import BATCH_TOKENS, Mechanism

if TYPE_CHECKING:
    from layerrank.models.classifier import Classifier
    from layerrank.models.decoder import Decoder
    from layerrank.models.served import Served
    from layerrank.ranking.engine import Cut

COMMON: Mapping[str, Any] = {"query_tokens": None, "passage_tokens": None}
"""Settings of every mechanism: texts are cut to so many tokens (None: not); titles count as part of the passage."""

MECHANISMS: Mapping[str, Mapping[str, Any]] = {
    "generation": {
        "prompt": None,
        "max_new_tokens": None,
        "template_arguments": {},
        "max_failure_rate": 1.0,
        **COMMON,
    },
    "likelihood": {"prompt": None, "template_arguments": {}, **COMMON},
    "attention": {"strategy": MASKED, "heads": None, **COMMON},
}
"""Settings of each mechanism with their defaults."""

CROSS_ENCODER = "cross_encoder"
TRAINED: Mapping[str, Mapping[str, Any]] = {CROSS_ENCODER: COMMON}
"""Mechanisms of models that were trained to rank and do nothing else; they score one passage at a time."""


@dataclass(frozen=True)
class Cell:
    """One framework with one mechanism, settings checked and complete.

    `windows`, `heads` (of each query, in place of those of the settings) and what shapes the ICR prompt (`family`,
    `instruction`, `query_span`) matter to attention alone.
    """

    framework: str
    mechanism: str
    framework_settings: Mapping[str, Any] = field(default_factory=dict)
    mechanism_settings: Mapping[str, Any] = field(default_factory=dict)
    family: str | None = None
    instruction: str = "IE"
    query_span: str | None = None
    windows: Mapping[str, LayerWindow] | LayerWindow | None = None
    heads: Mapping[str, tuple[Head, ...]] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        known = {**MECHANISMS, **TRAINED}
        if self.mechanism not in known:
            raise UserError(f"mechanism {self.mechanism!r}: expected one of {', '.join(known)}")
        name = self.name or f"{self.framework}-{self.mechanism}"
        defaults = known[self.mechanism]
        for key in self.mechanism_settings:
            if key not in defaults:
                raise UserError(f"{name}: unknown setting {key!r} of {self.mechanism}; it takes {', '.join(defaults)}")
        settings = {**defaults, **self.mechanism_settings}
        for key in ("query_tokens", "passage_tokens", "max_new_tokens"):
            value = settings.get(key)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UserError(f"{name}: {key}: {value!r}: expected a whole number from 1")
        rate = settings.get("max_failure_rate", 0)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise UserError(f"{name}: max_failure_rate: {rate!r}: expected a number from 0 to 1")
        names = settings.get("template_arguments", {})
        if not isinstance(names, Mapping) or not all(isinstance(each, str) for each in names):
            raise UserError(f"{name}: template_arguments: {names!r}: expected a mapping of names")
        sorter = make_sorter(self.framework, self.framework_settings)
        if self.mechanism in TRAINED:
            if self.framework != "pointwise":
                raise UserError(f"{name}: framework {self.framework!r}: {self.mechanism} scores one passage: pointwise")
        elif self.mechanism != "attention":
            from layerrank.prompts.chat import find_prompt

            find_prompt(self.framework, self.mechanism, settings["prompt"])
        elif self.windows is None or self.family is None:
            raise UserError(f"{name}: attention needs a window and a prompt family")
        else:
            PromptSettings(self.family, self.instruction, self.query_span)
            check_strategy(settings["strategy"], settings["heads"])
            if self.heads is not None and settings["heads"] is not None:
                raise UserError(f"{name}: heads are chosen by a rule, and given in the settings too")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "framework_settings", _complete(self.framework_settings, sorter))
        object.__setattr__(self, "mechanism_settings", settings)

    @property
    def sorter(self) -> Sorter:
        """The framework."""
        return make_sorter(self.framework, self.framework_settings)

    @property
    def head(self) -> bool:
        """Whether the model's head is needed."""
        return self.mechanism != "attention"

    @property
    def layers(self) -> int | None:
        """Layers to load; None for all."""
        if self.mechanism != "attention" or self.windows is None:
            return None
        windows = [self.windows] if isinstance(self.windows, LayerWindow) else list(self.windows.values())
        heads = check_strategy(self.mechanism_settings["strategy"], self.mechanism_settings["heads"])
        return max((last_layer(window, heads) for window in windows), default=0) + 1

    def load(self, folder: Path, *, dtype: str, device: str | None) -> Decoder | Classifier:
        """The model in a folder, as far as the cell needs it; `UserError` as of `load_decoder`, `load_classifier`."""
        if self.mechanism in TRAINED:
            from layerrank.models.classifier import load_classifier

            return load_classifier(folder, dtype=dtype, device=device)
        from layerrank.models.decoder import load_decoder

        return load_decoder(folder, layers=self.layers, head=self.head, dtype=dtype, device=device)

    def build(
        self, decoder: Decoder | Classifier | Served, *, share: bool = True, batch_tokens: int = BATCH_TOKENS
    ) -> Mechanism:
        """The mechanism on a loaded model, or on a served one.

        Without `share` each prompt of a pass is computed in full, whatever others begin with: for measurements.
        `batch_tokens` are those of the engine that it is for.
        """
        return _BUILDERS[self.mechanism](self, decoder, share, batch_tokens)

    def cut(self, decoder: Decoder | Classifier | Served) -> Cut | None:
        """What shortens a query's texts by tokens, or None where nothing does."""
        query_tokens = self.mechanism_settings["query_tokens"]
        passage_tokens = self.mechanism_settings["passage_tokens"]
        if query_tokens is None and passage_tokens is None:
            return None

        def cut(row: Candidates) -> tuple[Candidates, int]:
            query = Query(row.query.qid, cut_tokens(decoder.tokenizer, row.query.text, query_tokens))
            passages = []
            truncated = 0
            for passage in row.passages:
                text = cut_tokens(decoder.tokenizer, passage.content, passage_tokens)
                truncated += text != passage.content
                passages.append(Passage(passage.pid, text))
            return Candidates(query, tuple(passages), row.scores), truncated

        return cut


def _complete(given: Mapping[str, Any], sorter: Sorter) -> dict[str, Any]:
    """All settings of a framework, the sort by name included where there is a choice."""
    return {**({"sort": given["sort"]} if "sort" in given else {}), **sorter.settings}


def cut_tokens(tokenizer: Any, text: str, tokens: int | None) -> str:
    """The text up to the end of its token number `tokens`; all of it where it has no more, or for None."""
    if tokens is None:
        return text
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return text if len(offsets) <= tokens else text[: offsets[tokens - 1][1]]


def make_cell(
    model: Path,
    qids: Sequence[str],
    *,
    framework: str,
    mechanism: str,
    framework_settings: Mapping[str, Any] | None = None,
    mechanism_settings: Mapping[str, Any] | None = None,
    window: str = "all",
    selection: Path | None = None,
    family: str | None = None,
    instruction: str = "IE",
    query_span: str | None = None,
    max_failure_rate: float = 1.0,
    name: str = "",
) -> Cell:
    """A cell for the model in a folder and the queries `qids`, from settings as a user gives them.

    Args:
        window: `all`, `L10-13`, `selected-<rule>` or `heads-<rule>` (with the file of the `selection`); attention alone
            has one.
        family: None: the family that fits the model's chat template.
        max_failure_rate: Unless the settings of generation say otherwise.
    """
    settings = dict(mechanism_settings or {})
    parts: dict[str, Any] = {}
    if mechanism == "attention" and is_served(model):
        raise not_served(mechanism, model)
    if mechanism == "attention":
        from layerrank.core.windows import heads_for, windows_for
        from layerrank.models.folder import load_config, load_tokenizer

        config = load_config(model)
        layers, each = int(config.num_hidden_layers), int(config.num_attention_heads)
        heads = check_strategy(settings.get("strategy", MASKED), settings.get("heads"), layers=layers, each=each)
        parts["windows"] = windows_for(window, qids, layers, selection)
        parts["heads"] = heads_for(window, qids, layers, each, selection)
        for one in set(parts["windows"].values()):
            heads_within(heads, one)
        parts["family"] = family or fitting_family(load_tokenizer(model))
    elif mechanism in {**MECHANISMS, **TRAINED} and (window != "all" or selection is not None):
        raise UserError(f"window {window!r}: {mechanism} has no layer window")
    elif mechanism == "generation":
        settings.setdefault("max_failure_rate", max_failure_rate)
    return Cell(
        framework,
        mechanism,
        framework_settings or {},
        settings,
        instruction=instruction,
        query_span=query_span,
        name=name,
        **parts,
    )


def not_served(mechanism: str, model: Path) -> UserError:
    """What is wrong with attention, or a head of its own, of a model that is served."""
    name = read_record(model).get("name") or model.name
    return UserError(
        f"mechanism: {mechanism!r}: model {name} is served (source 'endpoint'), which gives none; expected generation "
        "or likelihood"
    )


def _generation(cell: Cell, decoder: Decoder | Served, share: bool, batch_tokens: int) -> Mechanism:
    from layerrank.prompts.chat import find_prompt
    from layerrank.ranking.generation import Generation

    settings = cell.mechanism_settings
    return Generation(
        decoder,
        find_prompt(cell.framework, "generation", settings["prompt"]),
        max_new_tokens=settings["max_new_tokens"],
        template_arguments=settings["template_arguments"],
        share=share,
        batch_tokens=batch_tokens,
    )


def _likelihood(cell: Cell, decoder: Decoder | Served, share: bool, batch_tokens: int) -> Mechanism:
    from layerrank.prompts.chat import find_prompt
    from layerrank.ranking.likelihood import Likelihood

    settings = cell.mechanism_settings
    return Likelihood(
        decoder,
        find_prompt(cell.framework, "likelihood", settings["prompt"]),
        template_arguments=settings["template_arguments"],
        share=share,
    )


def _attention(cell: Cell, decoder: Decoder, share: bool, batch_tokens: int) -> Mechanism:
    from layerrank.ranking.attention import Attention

    assert cell.windows is not None and cell.family is not None
    settings = cell.mechanism_settings
    return Attention(
        decoder,
        cell.windows,
        family=cell.family,
        instruction=cell.instruction,
        strategy=settings["strategy"],
        heads=settings["heads"] if cell.heads is None else cell.heads,
        query_span=cell.query_span,
        share=share,
    )


def _cross_encoder(cell: Cell, classifier: Classifier, share: bool, batch_tokens: int) -> Mechanism:
    from layerrank.ranking.cross_encoder import CrossEncoder

    return CrossEncoder(classifier)


_BUILDERS: Mapping[str, Callable[[Cell, Any, bool, int], Mechanism]] = {
    "generation": _generation,
    "likelihood": _likelihood,
    "attention": _attention,
    CROSS_ENCODER: _cross_encoder,
}
