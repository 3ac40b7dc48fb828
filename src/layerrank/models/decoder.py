"""Decoders: load one cut at a layer, without its language-model head unless asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor

from layerrank.core.errors import UserError
from layerrank.core.garbage import collect_as_usual
from layerrank.models import checks
from layerrank.models import folder as folders
from layerrank.models.checks import check_model
from layerrank.models.damage import DAMAGED, in_one_line
from layerrank.models.device import OutOfMemory
from layerrank.models.folder import load_config, load_tokenizer, quiet
from layerrank.models.heap import keep_freed_memory
from layerrank.models.identity import identify, read_record
from layerrank.models.trials import Trials, circumstances

CHECKING = (checks.__file__, folders.__file__)
"""The code that looks at a folder."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DTYPE_NAMES = {
    **{name: name for name in DTYPES},
    **{"fp32": "float32", "float": "float32", "bf16": "bfloat16", "fp16": "float16", "half": "float16"},
}
"""What a dtype may be called → its name here."""


@dataclass(frozen=True, eq=False)
class Decoder:
    """A loaded decoder with its tokenizer.

    Attributes:
        model: the base transformer, in inference mode, of `loaded_layers` layers and without a head.
        head: final hidden states [..., D] → logits [..., V], or None where it was not loaded.
        causal: the model with its head, for `generate`, or None; its base is `model`.
        tokenizer: of the same folder.
        config: of the base transformer as loaded (cut).
        layers: layers of the whole model, L.
        loaded_layers: how many of them are in memory, layers 0 to `loaded_layers` − 1.
        device: where the embeddings lie.
        dtype: "float32", "bfloat16" or "float16".
        context: tokens that the model can read, or None where its configuration does not say.
        name: the model's name in the study, or the folder's.
        revision: pinned revision of the source, or None.
        weights: SHA-256 over the folder's files (models.identity); empty where it was not loaded from one.
        trials: what is known of it from earlier trials.
        circumstances: what a trial's outcome hangs on beside the files: how the model was loaded, and where to.
    """

    model: Any
    head: Callable[[Tensor], Tensor] | None
    causal: Any
    tokenizer: Any
    config: Any
    layers: int
    loaded_layers: int
    device: torch.device
    dtype: str
    context: int | None
    name: str
    revision: str | None
    weights: str = ""
    trials: Trials = field(default_factory=Trials)
    circumstances: tuple[Any, ...] = ()

    @property
    def heads(self) -> int:
        """Number of query heads in each layer, H."""
        return int(self.config.num_attention_heads)


def context_length(folder: Path, config: Any) -> int | None:
    """Return the tokens that the model can read: as the catalogue says, else as its configuration does."""
    stated = read_record(folder).get("context")
    return stated or getattr(config, "max_position_embeddings", None)


def load_decoder(
    folder: Path | str,
    *,
    layers: int | None = None,
    head: bool = False,
    dtype: str | torch.dtype = "float32",
    device: str | torch.device | None = None,
) -> Decoder:
    """Load a model folder.

    Args:
        folder: with config.json, safetensors and a tokenizer.
        layers: load only layers 0 to `layers` − 1; weights above are not read. None: all.
        head: load the language-model head as well.
        dtype: as `dtype_named` has it.
        device: "cpu", "cuda", "cuda:1", …, or "auto" to spread a large model over several devices (needs accelerate);
            None: the first CUDA device, else the processor.

    Raises:
        UserError: not a usable model folder (`check_model`), weights that hold NaN or infinity, or a folder that was
            changed since it was fetched; an unknown dtype or device; or more layers than there are.
    """
    folder = Path(folder)
    place = device_named(device)
    dtype = dtype_named(dtype, place)
    keep_freed_memory()
    config = load_config(folder)
    identity = identify(folder)
    trials = Trials.beside(folder, identity.weights) if read_record(folder) else Trials()
    trials.once("folder", [], CHECKING, lambda: check_model(folder, str(folder), whole=False))
    total = int(config.num_hidden_layers)
    wanted = total if layers is None else layers
    if not 1 <= wanted <= total:
        raise UserError(f"{folder}: {wanted} layers asked for, the model has {total}")
    loader = transformers.AutoModelForCausalLM if head else transformers.AutoModel
    with quiet():
        try:
            loaded, report = cast(Any, loader).from_pretrained(
                folder,
                config=_cut(config, wanted),
                dtype=DTYPES[dtype],
                trust_remote_code=False,
                local_files_only=True,
                use_safetensors=True,
                device_map="auto" if place == "auto" else None,
                output_loading_info=True,
            )
            if report["missing_keys"]:
                missing = sorted(report["missing_keys"])
                raise UserError(f"{folder}: the checkpoint lacks {len(missing)} weights, {missing[0]} among them")
            loaded = loaded.eval().requires_grad_(False)
            if place != "auto":
                loaded = loaded.to(place)
        except OutOfMemory:
            raise UserError(f"{folder}: the model does not fit into the memory of {place}") from None
        except (ImportError, SafetensorError, *DAMAGED) as error:
            raise UserError(f"{folder}: the model cannot be loaded ({in_one_line(error)})") from None
    state = (dtype, wanted, *circumstances(place))
    trials.once("finite", state, [__file__], lambda: check_finite(loaded, f"{folder}", dtype))
    if head:
        loaded.get_output_embeddings().register_forward_pre_hook(_in_one_piece)
    base = loaded.base_model if head else loaded
    collect_as_usual()
    return Decoder(
        model=base,
        head=_head(loaded, str(folder), dtype, trials, state) if head else None,
        causal=loaded if head else None,
        tokenizer=load_tokenizer(folder),
        config=base.config,
        layers=total,
        loaded_layers=wanted,
        device=base.get_input_embeddings().weight.device,
        dtype=dtype,
        context=context_length(folder, config),
        name=identity.name,
        revision=identity.revision,
        weights=identity.weights,
        trials=trials,
        circumstances=state,
    )


def device_named(device: Any = None) -> str:
    """The device of that name, or "auto"; None: the first CUDA device, else the processor. `UserError` without it."""
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "auto":
        return "auto"
    allowed = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    allowed += ["mps"] if torch.backends.mps.is_available() else []
    try:
        found = torch.device(device) if isinstance(device, (str, torch.device)) else None
    except RuntimeError:
        found = None
    if found is None or not {f"{found.type}:{found.index or 0}", found.type} & set(allowed):
        raise UserError(f"device: {device!r}: expected one of {', '.join([*allowed, 'auto'])}")
    return str(found)


def dtype_named(dtype: Any, device: str) -> str:
    """The name of a dtype on a device: float32, bfloat16, float16 under any name in use, or torch's own.

    "auto" (or None) is bfloat16 on a CUDA device that has it, else float32. float16 needs a CUDA device: its range is
    narrow, so a model that leaves it is refused when it is tried (`load_decoder`), and on a processor it saves nothing.
    Raises `UserError` for any other.
    """
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if dtype is None or dtype == "auto":
        return "bfloat16" if cuda and torch.cuda.is_bf16_supported() else "float32"
    name = DTYPE_NAMES.get(str(dtype).removeprefix("torch.")) if isinstance(dtype, (str, torch.dtype)) else None
    if name is None:
        raise UserError(f"dtype: {dtype!r}: expected auto or one of {', '.join(DTYPE_NAMES)}")
    if name == "float16" and not cuda:
        raise UserError(f"dtype: {dtype!r} on {device}: expected float32 or bfloat16; float16 needs a CUDA device")
    return name


def check_finite(model: Any, where: str, dtype: str) -> None:
    """Refuse weights that hold NaN or infinity, damaged ones or beyond the dtype; the first of them by name."""
    for name, weight in model.named_parameters():
        if weight.device.type != "meta" and weight.is_floating_point() and weight.numel():
            low, high = torch.aminmax(weight.detach())
            if not (low.isfinite() and high.isfinite()):
                raise UserError(f"{where}: weight {name} holds NaN or infinity in {dtype}")


def _cut(config: Any, layers: int) -> Any:
    """The configuration of the first `layers` layers: the count, and every list with one entry a layer."""
    total = config.num_hidden_layers
    if layers == total:
        return config
    config = copy.deepcopy(config)
    config.num_hidden_layers = layers
    for key, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == total:
            setattr(config, key, value[:layers])
    return config


def _in_one_piece(module: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The head's input laid out anew: of a slice of a batch, torch would copy the head's weights for every sequence."""
    return (arguments[0].contiguous(), *arguments[1:])


def _head(causal: Any, name: str, dtype: str, trials: Trials, state: tuple[Any, ...]) -> Callable[[Tensor], Tensor]:
    """Hidden states → logits as the model itself makes them: projection, scaling, soft-capping."""
    config, project = causal.config, causal.get_output_embeddings()
    multiplier = float(getattr(config, "logit_scale", None) or 1.0) / float(
        getattr(config, "logits_scaling", None) or 1
    )
    cap = getattr(config, "final_logit_softcapping", None)

    def logits(hidden: Tensor) -> Tensor:
        values = project(hidden) * multiplier
        return torch.tanh(values / cap) * cap if cap else values

    trials.once("head", state, [__file__], lambda: _check_head(causal, logits, name, dtype))
    return logits


@torch.inference_mode()
def _check_head(causal: Any, logits: Callable[[Tensor], Tensor], name: str, dtype: str) -> None:
    """Hold the logits of three tokens against the model's own."""
    ids = torch.tensor([[1, 2, 3]], device=causal.get_input_embeddings().weight.device)
    plain = causal(input_ids=ids, use_cache=False).logits
    ours = logits(causal.base_model(input_ids=ids, use_cache=False).last_hidden_state)
    if not plain.isfinite().all():
        raise UserError(f"{name}: its logits are not finite in {dtype}: damaged weights, or numbers beyond this dtype")
    if plain.shape != ours.shape or not torch.allclose(plain, ours, rtol=1e-2, atol=1e-2 * float(plain.abs().max())):
        raise UserError(f"{type(causal).__name__}: its logits are not a projection of the last hidden state")
