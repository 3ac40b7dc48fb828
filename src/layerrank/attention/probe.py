"""Reads attention inside the forward pass, for any decoder that transformers serves through its attention interface.

Passages come once, as a prefix; the query and `N/A` are branches after it, at the same positions, blind to each other,
in the same pass (semantics.md §2). The prefix uses fused causal attention; the few branch rows are computed
explicitly, which gives their output and the probabilities to keep. No forked model code, no key-value cache, no
language-model head.
"""

from __future__ import annotations

import contextlib
import contextvars
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

from layerrank.attention import kernels
from layerrank.attention import pack as packs
from layerrank.attention.kernels import Kernel, weigh
from layerrank.attention.pack import Pack, Place, pack
from layerrank.attention.signal import SUMS, Signal
from layerrank.core.errors import UserError
from layerrank.models.decoder import Decoder
from layerrank.models.device import synchronise
from layerrank.prompts.icr import IcrPrompt
from layerrank.prompts.tree import Tree

NAME = "layerrank"
"""Name of the attention function and of its mask function in transformers' registries."""

LAYER_TYPES = ("full_attention", "sliding_attention")
HARMLESS = frozenset(
    {"position_ids", "position_embeddings", "cache_position", "use_cache", "is_causal", "sliding_window", "module"}
    | {"output_attentions", "output_hidden_states", "return_dict", "past_key_values", "layer_idx", "deterministic"}
)
"""Keywords of an attention call that say nothing about its numbers; a window counts as the mask has it."""

CODE = (__file__, kernels.__file__, packs.__file__)
"""The code that a trial of a model hangs on."""

TOLERANCE = {"float32": 1e-3, "bfloat16": 0.1, "float16": 0.02}
"""Largest relative difference of hidden states from the model's own attention, in the check of a new model."""


@dataclass(frozen=True)
class _Mask:
    """What a layer's mask means: causal, and at most `window` tokens back, the token itself included."""

    window: int | None


class _Stop(Exception):  # noqa: N818 - a signal, not an error
    """Ends the forward pass inside the last layer that is read."""


@dataclass(eq=False)
class _Reading:
    """What a group of trees is read for, and where it goes.

    Attributes:
        weights: float32[B, S, R], weights over branch rows of the S = 4 readings in the order of `SUMS`.
        tokens: int[T], passage tokens as offsets into the group's flattened prefixes [B · P], input order.
        passages: int[N, longest], offsets of each passage's tokens, in the same way.
        own: bool[N, longest], which of them are a passage's: those past its end repeat the first offset of all.
        signal: float32[L, T], filled layer by layer.
        sums: float32[L, S, H, N], filled layer by layer.
        masked: float32[L, H, N], likewise; None where it is not wanted.
        by_head: float32[L, H, T], likewise.
        na: float32[L, T], likewise.
        chosen: bool[L, H], the heads that `signal` and `na` sum over; None for all.
    """

    weights: Tensor
    tokens: Tensor
    passages: Tensor
    own: Tensor
    signal: Tensor
    sums: Tensor
    masked: Tensor | None = None
    by_head: Tensor | None = None
    na: Tensor | None = None
    chosen: Tensor | None = None


@dataclass(eq=False)
class _Group:
    """Trees that share attention kernels: one, or several of similar length padded to the longest.

    Attributes:
        places: B trees of a pack.
        prefix: tokens of the longest prefix, P.
        rows: most branch tokens of a tree, R.
        begin: the first of the P tokens whose output is computed here; those before it are another tree's. 0 where
            kernels are shared, and on a device, whose fused kernel takes whole prefixes.
        closed: bool[B, 1, R, P + R] of what branch rows must not see; None where there are no rows.
        take_prefix, take_rows: int[B · P], int[B · R]: offsets into the pack, padding repeats the first token.
        keep_prefix, keep_rows: which of these are neither padding nor another tree's; None where all are.
    """

    places: tuple[Place, ...]
    prefix: int
    rows: int
    device: torch.device
    begin: int = 0
    reading: _Reading | None = None
    closed: dict[int | None, Tensor] = field(default_factory=dict)
    indices: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    @classmethod
    def of(cls, places: Sequence[Place], device: torch.device) -> _Group:
        group = cls(tuple(places), max(place.prefix for place in places), max(place.rows for place in places), device)
        if len(places) > 1:
            group.indices = group._indices()
        elif device.type == "cpu":
            group.begin = places[0].shared
        return group

    def _indices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        prefix = np.zeros((len(self.places), self.prefix), dtype=np.int64)
        rows = np.zeros((len(self.places), self.rows), dtype=np.int64)
        prefix_kept, rows_kept = np.zeros(prefix.shape, dtype=bool), np.zeros(rows.shape, dtype=bool)
        for index, place in enumerate(self.places):
            prefix[index, : place.prefix] = place.offsets
            prefix_kept[index, place.shared : place.prefix] = True
            rows[index, : place.rows] = np.arange(place.first_row, place.end)
            rows_kept[index, : place.rows] = True
        parts = (prefix, rows, np.flatnonzero(prefix_kept), np.flatnonzero(rows_kept))
        moved = [_to(part.reshape(-1), self.device) for part in parts]
        return moved[0], moved[1], moved[2], moved[3]

    def take(self, states: Tensor) -> Tensor:
        """[1, h, n, d] → prefixes, then branch rows: [B, h, P + R, d]; a view where B = 1 and nothing is borrowed."""
        if self.indices is None:
            place = self.places[0]
            if not place.shared:
                return states[:, :, place.start : place.end]
            stretches = (*place.path, slice(place.first_row, place.end))
            return torch.cat([states[:, :, stretch] for stretch in stretches], dim=2)
        prefix, rows, _, _ = self.indices
        heads, size = states.shape[1], states.shape[3]
        count = len(self.places)
        parts = [
            states[0].index_select(1, prefix).view(heads, count, self.prefix, size),
            states[0].index_select(1, rows).view(heads, count, self.rows, size),
        ]
        return torch.cat(parts, dim=2).transpose(0, 1)

    def take_queries(self, states: Tensor) -> Tensor:
        """As `take`, from token `begin` on: [B, h, P − begin + R, d]."""
        if not self.begin:
            return self.take(states)
        place = self.places[0]
        return states[:, :, place.start : place.end]

    def place_prefix(self, output: Tensor, states: Tensor) -> None:
        """Write outputs of prefixes from `begin` on [B, H, P − begin, d] into [n, H, d]."""
        if self.indices is None:
            place = self.places[0]
            output[place.start : place.first_row] = states[0, :, place.shared - self.begin :].transpose(0, 1)
            return
        prefix, _, kept, _ = self.indices
        output[prefix[kept]] = states.transpose(1, 2).reshape(-1, *states.shape[1::2])[kept]

    def place_rows(self, output: Tensor, states: Tensor) -> None:
        """Write outputs of branch rows [B, H, R, d] into [n, H, d]."""
        if self.indices is None:
            place = self.places[0]
            output[place.first_row : place.end] = states[0].transpose(0, 1)
            return
        _, rows, _, kept = self.indices
        output[rows[kept]] = states.transpose(1, 2).reshape(-1, *states.shape[1::2])[kept]

    def hidden_from_rows(self, window: int | None) -> Tensor:
        """bool[B, 1, R, P + R]: keys that a branch row must not see."""
        if window not in self.closed:
            closed = np.ones((len(self.places), 1, self.rows, self.prefix + self.rows), dtype=bool)
            for index, place in enumerate(self.places):
                position, branch = place.row_position, place.row_branch
                back = position[:, None] - np.arange(place.prefix)[None, :]
                own = position[:, None] - position[None, :]
                sees = (branch[:, None] == branch[None, :]) & (own >= 0)
                if window is not None:
                    sees &= own < window
                    closed[index, 0, : place.rows, : place.prefix] = back >= window
                else:
                    closed[index, 0, : place.rows, : place.prefix] = False
                closed[index, 0, : place.rows, self.prefix : self.prefix + place.rows] = ~sees
                closed[index, 0, place.rows :, 0] = False  # padding rows see something, so that no row is all closed
            self.closed[window] = _to(closed, self.device)
        return self.closed[window]


@dataclass(eq=False)
class _Pass:
    """The state of one forward pass over a pack."""

    groups: list[_Group]
    last_layer: int | None = None
    known_masks: Sequence[_Mask] = ()
    layer: int = 0
    masks: list[_Mask] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kept: list[tuple[Tensor, Tensor]] | None = None


@dataclass(eq=False)
class Kept:
    """What a pass over prompts leaves behind for writing on.

    Attributes:
        last: [B, D], the final normed hidden state of each prompt's last token.
        layers: of each layer the keys and values [1, Hkv, n, d] of the n tokens of the pack, positions applied.
        places: where in the pack each prompt lies.
    """

    last: Tensor
    layers: list[tuple[Tensor, Tensor]]
    places: tuple[Place, ...]

    def gather(self, rows: Sequence[int], *, forget: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield keys and values [rows, Hkv, longest, d] of some prompts, layer by layer.

        Left of shorter prompts stand those of some token, for a mask to hide. With `forget`, each layer is let go of
        as it is gathered, and nothing can be gathered again.
        """
        longest = max(self.places[row].prefix for row in rows)
        index = np.zeros((len(rows), longest), dtype=np.int64)
        for line, row in zip(index, rows, strict=True):
            line[longest - self.places[row].prefix :] = self.places[row].offsets
        offsets = torch.from_numpy(index.reshape(-1))
        for layer in range(len(self.layers)):
            keys, values = self.layers.pop(0) if forget else self.layers[layer]
            offsets = offsets.to(keys.device)
            keys, values = (
                states[0].index_select(1, offsets).view(states.shape[1], len(rows), longest, -1).transpose(0, 1)
                for states in (keys, values)
            )
            yield keys, values


_current: contextvars.ContextVar[_Pass] = contextvars.ContextVar("layerrank_pass")


class Probe:
    """Runs a decoder over packed prompts, and reads its attention.

    Args:
        decoder: the model.
        share: compute once what prompts of a pass begin with; without, the results are the same but for rounding.

    Raises:
        UserError: a model whose attention the probe would get wrong, by name, before any work. What decides is a short
            trial: every layer must call the attention function with known arguments and a causal or sliding-window
            mask, and hidden states must be those of the model's own attention.
    """

    def __init__(self, decoder: Decoder, *, share: bool = True) -> None:
        self.decoder = decoder
        self._share = share
        self._model = decoder.model
        self._rotary = [module for module in self._model.modules() if rope_depends_on_length(module)]
        self._masks: tuple[_Mask, ...] = ()
        self._check()

    @property
    def one_by_one(self) -> bool:
        """True where prompts must not share a pass: rotary frequencies that depend on a sequence's whole length."""
        return bool(self._rotary)

    @property
    def shares(self) -> bool:
        """Whether prompts of one pass that begin with the same tokens have these computed once."""
        return self._share and not self.one_by_one

    def computed(self, trees: Sequence[Tree]) -> list[int]:
        """Each tree's part of the tokens that a pass over them computes; the parts add up to these."""
        return pack(trees, self.shares).computed

    def read(
        self,
        prompts: Sequence[IcrPrompt],
        last_layer: int | None = None,
        *,
        masked: bool = False,
        by_head: bool = False,
        na: bool = False,
        heads: Collection[tuple[int, int]] | None = None,
    ) -> list[Signal]:
        """Return each prompt's signal for layers 0 to `last_layer` (default: all loaded), read in one forward pass.

        The pass ends inside `last_layer`, as soon as its branch rows are read. Values are float32 whatever the model's
        dtype. `seconds` are those of the whole pass, shared by tokens computed.

        Args:
            prompts: to read together.
            last_layer: where the pass ends.
            masked: keep each head's masked sum by passage too.
            by_head: keep what each head pays each token too.
            na: keep what `N/A` alone pays each token too.
            heads: (layer, head) pairs that the signal per token sums over, all where None; sums by passage are of every
                head in any case.
        """
        last = self.decoder.loaded_layers - 1 if last_layer is None else last_layer
        if not 0 <= last < self.decoder.loaded_layers:
            raise ValueError(f"last_layer {last_layer}: {self.decoder.loaded_layers} layers are loaded")
        if self.one_by_one and len(prompts) > 1:
            return [
                signal
                for prompt in prompts
                for signal in self.read([prompt], last, masked=masked, by_head=by_head, na=na, heads=heads)
            ]
        if not prompts:
            return []
        synchronise(self.decoder.device)
        begun = time.perf_counter()
        packed = pack([prompt.tree for prompt in prompts], self.shares)
        chosen = _grouped(packed.places, self.decoder.device)
        groups = [_Group.of([packed.places[index] for index in indices], self.decoder.device) for indices in chosen]
        for group, indices in zip(groups, chosen, strict=True):
            group.reading = _reading(group, [prompts[index] for index in indices], last + 1, self.decoder.heads)
            if masked:
                group.reading.masked = torch.zeros_like(group.reading.sums[:, 0])
            if by_head:
                group.reading.by_head = torch.zeros(
                    (last + 1, self.decoder.heads, group.reading.signal.shape[1]), device=self.decoder.device
                )
            if na:
                group.reading.na = torch.zeros_like(group.reading.signal)
            if heads is not None:
                group.reading.chosen = _chosen(heads, last + 1, self.decoder.heads, self.decoder.device)
        self._forward(packed, _Pass(groups, last_layer=last))
        signals: dict[int, Signal] = {}
        for group, indices in zip(groups, chosen, strict=True):
            assert group.reading is not None
            signals.update(zip(indices, _signals([prompts[index] for index in indices], group.reading), strict=True))
        seconds = time.perf_counter() - begun
        for index, (prompt, tokens) in enumerate(zip(prompts, packed.computed, strict=True)):
            object.__setattr__(signals[index], "seconds", seconds * tokens / len(packed.ids))
            if not np.isfinite(signals[index].signal).all():
                raise UserError(f"model {self.decoder.name}: query {prompt.qid}: its attention is not finite")
        return [signals[index] for index in range(len(prompts))]

    def hidden(self, trees: Sequence[Tree]) -> list[list[Tensor]]:
        """Return, for each tree and branch, final normed hidden states [1 + branch tokens, D] in the model's dtype.

        Row 0 is the prefix's last token, whose state predicts the branch's first token. All loaded layers are run.
        """
        if self.one_by_one and len(trees) > 1:
            return [states for tree in trees for states in self.hidden([tree])]
        if not trees:
            return []
        packed, states = self._whole(trees)
        found: list[list[Tensor]] = []
        for place in packed.places:
            end = place.path[-1].stop
            last, rows = states[end - 1 : end], states[place.first_row : place.end]
            found.append([torch.cat([last, rows[place.branch(index)]]) for index in range(len(place.branches))])
        return found

    def keep(self, prompts: Sequence[Sequence[int]]) -> Kept:
        """Read prompts in one pass, and keep every layer's keys and values; for models that are not `one_by_one`."""
        kept: list[tuple[Tensor, Tensor]] = []
        packed, states = self._whole([Tree(prompt) for prompt in prompts], kept)
        last = torch.tensor([place.path[-1].stop - 1 for place in packed.places], device=states.device)
        return Kept(states.index_select(0, last), kept, packed.places)

    def _whole(self, trees: Sequence[Tree], kept: list[tuple[Tensor, Tensor]] | None = None) -> tuple[Pack, Tensor]:
        """Run all loaded layers over trees: their pack, and final normed hidden states [n, D]."""
        packed = pack(trees, self.shares)
        groups = [
            _Group.of([packed.places[index] for index in indices], self.decoder.device)
            for indices in _grouped(packed.places, self.decoder.device)
        ]
        states = self._forward(packed, _Pass(groups, kept=kept))
        assert states is not None
        return packed, states

    @torch.inference_mode()
    def _forward(self, packed: Pack, state: _Pass) -> Tensor | None:
        """Run the model over a pack; return hidden states [n, D], or None where the pass was stopped."""
        for module in self._rotary:
            _reset_rope(module)
        state.known_masks = self._masks
        ids, positions = (_to(values[None], self.decoder.device) for values in (packed.ids, packed.positions))
        token = _current.set(state)
        try:
            with _attention_set(self._model, NAME):
                output = self._model(
                    input_ids=ids,
                    position_ids=positions,
                    attention_mask=torch.ones_like(ids),
                    use_cache=False,
                )
        except _Stop:
            return None
        finally:
            _current.reset(token)
        return output.last_hidden_state[0]

    def _check(self) -> None:
        config, name = self.decoder.config, f"{self.decoder.name} ({type(self._model).__name__})"
        others = sorted(set(getattr(config, "layer_types", None) or ()) - set(LAYER_TYPES))
        if others:
            raise UserError(
                f"model {name}: layers of type {', '.join(others)}; the probe reads {', '.join(LAYER_TYPES)}"
            )
        if getattr(config, "alibi", False):
            raise UserError(f"model {name}: ALiBi position biases are not read by the probe")
        if not getattr(config, "is_causal", True) or getattr(config, "use_bidirectional_attention", False):
            raise UserError(f"model {name}: its attention is not causal")
        if not getattr(self._model, "_supports_attention_backend", False):
            raise UserError(f"model {name}: transformers does not serve it through its attention interface")
        windows = self.decoder.trials.once("probe", self.decoder.circumstances, CODE, lambda: self._try(name))
        self._masks = tuple(map(_Mask, windows))

    def _try(self, name: str) -> list[int | None]:
        """Hold a short pass against the model's own attention; return the window of each layer's mask."""
        vocabulary = int(self._model.get_input_embeddings().weight.shape[0])
        ids = [(7 + 13 * index) % vocabulary for index in range(17)]
        tree = Tree(ids[:11], (ids[11:14], ids[14:16]))
        packed = pack([tree])
        state = _Pass([_Group.of(packed.places, self.decoder.device)])
        try:
            ours = self._forward(packed, state)
        except (AttributeError, TypeError, NotImplementedError) as error:
            called = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
            if {attend.__code__, describe_mask.__code__} & set(called) or called[-1].co_filename == __file__:
                raise  # a mistake in here says nothing of the model
            raise UserError(f"model {name}: it handles attention or its mask by itself ({error})") from error
        if state.problems:
            raise UserError(f"model {name}: {state.problems[0]}")
        if state.layer != self.decoder.loaded_layers:
            raise UserError(
                f"model {name}: {state.layer} of its {self.decoder.loaded_layers} layers call the attention interface"
            )
        assert ours is not None
        place = packed.places[0]
        for index, branch in enumerate(tree.branches):
            plain = self._plain([*tree.prefix, *branch])
            own = torch.cat([ours[: place.prefix], ours[place.prefix : place.end][place.branch(index)]])
            if not plain.isfinite().all():
                raise UserError(f"model {name}: its hidden states are not finite in {self.decoder.dtype}")
            difference = float((plain - own).float().norm() / plain.float().norm())
            if not difference <= TOLERANCE[self.decoder.dtype]:
                raise UserError(
                    f"model {name}: hidden states differ by {difference:.2g} from its own attention's; "
                    "it does something that the probe does not know"
                )
        return [mask.window for mask in state.masks]

    @torch.inference_mode()
    def _plain(self, ids: Sequence[int]) -> Tensor:
        """Hidden states [n, D] of one sequence under the model's own eager attention."""
        for module in self._rotary:
            _reset_rope(module)
        with _attention_set(self._model, "eager"):
            row = torch.tensor([list(ids)], device=self.decoder.device)
            return self._model(input_ids=row, use_cache=False).last_hidden_state[0]


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """The attention function: [1, H, n, d] queries on [1, Hkv, n, d] keys → [1, n, H, d], tree by tree.

    `softcap` is Gemma 2's, `s_aux` float[H] the attention sinks of gpt-oss: one more logit of each softmax, with no
    value.
    """
    state = _current.get()
    layer, state.layer = state.layer, state.layer + 1
    _note_problems(state, module, attention_mask, others, layer)
    window = attention_mask.window if isinstance(attention_mask, _Mask) else None
    kernel = Kernel(float(scaling or query.shape[-1] ** -0.5), window, softcap or None, s_aux)
    last = layer == state.last_layer
    if state.kept is not None:
        state.kept.append((key.contiguous(), value.contiguous()))  # laid out anew: of a view, all would be kept
    output = query.new_empty((query.shape[2], query.shape[1], value.shape[-1]))
    for group in state.groups:
        queries, keys, values = group.take_queries(query), group.take(key), group.take(value)
        prefix, own = slice(None, group.prefix), group.prefix - group.begin
        if own and not last:
            group.place_prefix(output, kernel.causal(queries[:, :, :own], keys[:, :, prefix], values[:, :, prefix]))
        if not group.rows:
            continue
        probabilities = kernel.rows(queries[:, :, own:], keys, group.hidden_from_rows(window))
        if group.reading is not None:
            _keep(group.reading, probabilities[..., prefix], layer)
        if not last:
            group.place_rows(output, weigh(probabilities, values))
    if last:
        raise _Stop
    return output[None], None


def _keep(reading: _Reading, probabilities: Tensor, layer: int) -> None:
    """Read probabilities [B, H, R, P] of one layer: per token summed over heads, per passage by head."""
    batch, heads, _, length = probabilities.shape
    weights = reading.weights[:, None].expand(-1, heads, -1, -1)  # [B, H, S, R]
    attention = (weights @ probabilities).permute(2, 1, 0, 3).reshape(len(SUMS), heads, batch * length)
    query, na = attention[SUMS.index("query")], attention[SUMS.index("na")]
    summed = slice(None) if reading.chosen is None else reading.chosen[layer]
    calibrated = query - na  # [H, B · P]
    reading.signal[layer] = calibrated[summed].sum(dim=0).index_select(0, reading.tokens)
    if reading.na is not None:
        reading.na[layer] = na[summed].sum(dim=0).index_select(0, reading.tokens)
    if reading.by_head is not None:
        reading.by_head[layer] = calibrated.index_select(1, reading.tokens)
    of_passages = attention.index_select(2, reading.passages.reshape(-1))
    of_passages = of_passages.view(len(SUMS), heads, *reading.passages.shape).mul_(reading.own)
    reading.sums[layer] = of_passages.sum(dim=-1)
    if reading.masked is not None:
        c = of_passages[SUMS.index("query")] - of_passages[SUMS.index("na")]
        reading.masked[layer] = _masked(c, reading.own)


def _masked(c: Tensor, own: Tensor) -> Tensor:
    """float32[H, N] from c[H, N, longest]: of each head and passage the sum over tokens above mean − 2 · std.

    `own` bool[N, longest] tells a passage's tokens from padding, which is 0 in c. One token has no sample deviation: it
    is kept (semantics.md §2, §7).
    """
    length = own.sum(dim=-1)
    mean = c.sum(dim=-1, keepdim=True) / length[:, None].clamp(min=1)
    squares = ((c - mean).square_() * own).sum(dim=-1)
    bound = mean[..., 0] - 2 * (squares / (length - 1).clamp(min=1)).sqrt()
    kept = torch.where(c > bound[..., None], c, 0).sum(dim=-1)
    return torch.where(length > 1, kept, c.sum(dim=-1))


def _chosen(heads: Collection[tuple[int, int]], layers: int, count: int, device: torch.device) -> Tensor:
    """bool[L, H] of the (layer, head) pairs; those of layers that are not read count nothing."""
    table = np.zeros((layers, count), dtype=bool)
    for layer, head in heads:
        if not (0 <= head < count and layer >= 0):
            raise UserError(f"head {layer}-{head}: the model has heads 0 to {count - 1}")
        if layer < layers:
            table[layer, head] = True
    return _to(table, device)


def _reading(group: _Group, prompts: Sequence[IcrPrompt], layers: int, heads: int) -> _Reading:
    weights = np.zeros((len(prompts), len(SUMS), group.rows), dtype=np.float32)
    passages: list[np.ndarray] = []
    for index, (place, prompt) in enumerate(zip(group.places, prompts, strict=True)):
        for branch, (whole, last) in enumerate((("query", "query_last"), ("na", "na_last"))):
            offset = place.branch(branch).start
            begin, end = (offset + row for row in prompt.rows[branch])
            if end > begin:
                weights[index, SUMS.index(whole), begin:end] = 1.0 / (end - begin)
                weights[index, SUMS.index(last), end - 1] = 1.0
        for begin, end in prompt.spans.tolist():
            passages.append(index * group.prefix + np.arange(begin, end, dtype=np.int64))
    tokens = np.concatenate([np.zeros(0, dtype=np.int64), *passages])
    longest = max((len(passage) for passage in passages), default=0)
    table, own = np.zeros((2, len(passages), longest), dtype=np.int64)
    for row, belongs, passage in zip(table, own, passages, strict=True):
        row[: len(passage)], belongs[: len(passage)] = passage, 1
    device = group.device
    return _Reading(
        _to(weights, device),
        _to(tokens, device),
        _to(table, device),
        _to(own.astype(bool), device),
        torch.zeros((layers, len(tokens)), device=device),
        torch.zeros((layers, len(SUMS), heads, len(passages)), device=device),
    )


def _signals(prompts: Sequence[IcrPrompt], reading: _Reading) -> Iterator[Signal]:
    """Split what a group has read into its prompts' signals, on the processor."""
    values, sums = reading.signal.cpu().numpy(), reading.sums.cpu().numpy()
    masked = None if reading.masked is None else reading.masked.cpu().numpy()
    by_head = None if reading.by_head is None else reading.by_head.cpu().numpy()
    na = None if reading.na is None else reading.na.cpu().numpy()
    token = passage = 0
    for prompt in prompts:
        lengths = (prompt.spans[:, 1] - prompt.spans[:, 0]).astype(np.int32)
        tokens, passages = slice(token, token + int(lengths.sum())), slice(passage, passage + len(lengths))
        token, passage = tokens.stop, passages.stop
        yield Signal(
            qid=prompt.qid,
            pids=prompt.pids,
            lengths=lengths,
            signal=np.ascontiguousarray(values[:, tokens]),
            sums={name: np.ascontiguousarray(sums[:, index, :, passages]) for index, name in enumerate(SUMS)},
            prompt_tokens=prompt.prompt_tokens,
            seconds=0.0,
            masked=None if masked is None else np.ascontiguousarray(masked[:, :, passages]),
            by_head=None if by_head is None else np.ascontiguousarray(by_head[:, :, tokens]),
            na=None if na is None else np.ascontiguousarray(na[:, tokens]),
        )


def _grouped(places: Sequence[Place], device: torch.device) -> list[list[int]]:
    """Indices of trees that share kernels: each alone on the processor, else while padding stays below a fifth.

    Kernels take whole prefixes: together they must not be more tokens than the pack holds.
    """
    if device.type == "cpu":
        return [[index] for index in range(len(places))]
    room = sum(place.prefix - place.shared for place in places)
    by_length = sorted(range(len(places)), key=lambda index: (-places[index].prefix, -places[index].rows, index))
    groups: list[list[int]] = []
    for index in by_length:
        longest = places[groups[-1][0]].prefix if groups else 0
        if groups and (places[index].rows > 0) == (places[groups[-1][0]].rows > 0):
            used = sum(places[member].prefix for member in groups[-1]) + places[index].prefix
            if used >= 0.8 * longest * (len(groups[-1]) + 1) and used <= room:
                groups[-1].append(index)
                continue
        groups.append([index])
    return groups


def _note_problems(state: _Pass, module: Any, mask: Any, others: Mapping[str, Any], layer: int) -> None:
    if not isinstance(mask, _Mask):
        state.problems.append("a layer of it attends without a mask that the probe has made")
    unknown = sorted(key for key, value in others.items() if key not in HARMLESS and value is not None)
    if unknown:
        state.problems.append(f"its attention takes {', '.join(unknown)}, which the probe does not know")
    if others.get("is_causal") is False or getattr(module, "is_causal", True) is False:
        state.problems.append("its attention is not causal")
    if getattr(module, "layer_idx", layer) not in (None, layer):
        state.problems.append(f"layer {module.layer_idx} attends as number {layer}")


def describe_mask(mask_function: Callable[..., Any] | None = None, kv_length: int = 0, **_: Any) -> Any:
    """The mask function: find out what the model's mask means, instead of building it.

    Rows of the mask are evaluated at a few query positions over all keys. Anything but causal, or causal within a
    window, is a problem that the trial of a new model reports. A model makes its masks in the same order in each pass,
    so later passes look them up.
    """
    state = _current.get()
    number = len(state.masks)
    if number < len(state.known_masks) and kv_length <= _PROBED:
        state.masks.append(state.known_masks[number])
    else:
        state.masks.append(_described(mask_function, kv_length, state))
    return state.masks[-1]


def _described(mask_function: Callable[..., Any] | None, kv_length: int, state: _Pass) -> _Mask:
    zero = torch.zeros((), dtype=torch.long)
    rows: list[tuple[int, np.ndarray]] = []
    length = max(int(kv_length), _PROBED)
    keys = torch.arange(length)
    for row in sorted({0, 1, 2, 5, length // 3, length // 2, length - 2}):
        try:
            seen = mask_function(zero, zero, torch.tensor(row), keys) if mask_function else keys <= row
        except (RuntimeError, IndexError, TypeError) as error:
            state.problems.append(f"its mask is of a kind that the probe cannot read ({error})")
            return _Mask(None)
        rows.append((row, np.broadcast_to(np.asarray(seen), (length,))))
    window = int(rows[-1][1].sum())
    for row, seen in rows:
        back = row - np.arange(length)
        if not np.array_equal(seen, (back >= 0) & (back < window)):
            state.problems.append("its mask is neither causal nor a sliding window")
            return _Mask(None)
    return _Mask(window if window < length - 1 else None)


def rope_depends_on_length(module: Any) -> bool:
    """Whether a module's rotary frequencies depend on the longest position of a pass."""
    kinds = getattr(module, "rope_type", None)
    names = kinds.values() if isinstance(kinds, Mapping) else [kinds]
    return any(isinstance(name, str) and ("dynamic" in name or name == "longrope") for name in names)


def _reset_rope(module: Any) -> None:
    """Forget frequencies that a longer, earlier sequence left behind."""
    for name in [name for name in vars(module) | module._buffers if name.endswith("original_inv_freq")]:
        prefix = name.removesuffix("original_inv_freq")
        current = getattr(module, f"{prefix}inv_freq")
        module.register_buffer(f"{prefix}inv_freq", getattr(module, name).to(current.device).clone(), persistent=False)
        if hasattr(module, f"{prefix}max_seq_len_cached"):
            setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)


@contextlib.contextmanager
def _attention_set(model: Any, name: str) -> Iterator[None]:
    former = model.config._attn_implementation
    model.config._attn_implementation = name
    try:
        yield
    finally:
        model.config._attn_implementation = former


def _to(values: np.ndarray, device: torch.device) -> Tensor:
    """A numpy array on the device, through pinned memory where that is not the processor."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


_PROBED = 1 << 17
"""Keys over which a mask is looked at: windows beyond them do not matter to any prompt."""

AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, describe_mask)
