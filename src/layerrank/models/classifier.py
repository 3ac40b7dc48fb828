"""Cross-encoders: encoders that read a query with a passage and have a head of one score, as trained rerankers have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from safetensors import SafetensorError

from layerrank.core.errors import UserError
from layerrank.core.garbage import collect_as_usual
from layerrank.models.checks import check_model
from layerrank.models.damage import DAMAGED, in_one_line
from layerrank.models.decoder import DTYPES, check_finite, device_named, dtype_named
from layerrank.models.device import OutOfMemory
from layerrank.models.folder import load_classifier_config, load_tokenizer, quiet
from layerrank.models.identity import identify, read_record

LONGEST = 1_000_000
"""Tokens from which on a tokenizer's `model_max_length` says that it knows none."""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A loaded cross-encoder with its tokenizer; what it shares with `Decoder` has the same name.

    Attributes:
        model: in inference mode; token ids [B, T] → logits [B, 1].
        tokenizer: of the same folder; encodes pairs.
        layers: layers of the model, all of them in memory (`loaded_layers`).
        device: where it lies.
        dtype: "float32", "bfloat16" or "float16".
        context: tokens of the longest pair.
        name: the model's name in the study, or the folder's.
        revision: pinned revision of the source, or None.
        weights: SHA-256 over the folder's files (models.identity).
    """

    model: Any
    tokenizer: Any
    layers: int
    loaded_layers: int
    device: torch.device
    dtype: str
    context: int
    name: str
    revision: str | None
    weights: str


def load_classifier(
    folder: Path | str, *, dtype: str | torch.dtype = "float32", device: str | torch.device | None = None
) -> Classifier:
    """Load a cross-encoder's folder. `device` "auto" is the first CUDA device, else the processor.

    Raises:
        UserError: as `load_decoder`, or a model that is none: no head of classification, or one of several labels.
    """
    folder = Path(folder)
    place = device_named(device)
    place = device_named(None) if place == "auto" else place
    dtype = dtype_named(dtype, place)
    config = load_classifier_config(folder)
    check_model(folder, str(folder))
    identity = identify(folder)
    with quiet():
        try:
            loaded = cast(Any, transformers.AutoModelForSequenceClassification).from_pretrained(
                folder,
                config=config,
                dtype=DTYPES[dtype],
                trust_remote_code=False,
                local_files_only=True,
                use_safetensors=True,
            )
            loaded = loaded.eval().requires_grad_(False).to(place)
        except OutOfMemory:
            raise UserError(f"{folder}: the model does not fit into the memory of {place}") from None
        except (ImportError, SafetensorError, *DAMAGED) as error:
            raise UserError(f"{folder}: the model cannot be loaded ({in_one_line(error)})") from None
    check_finite(loaded, str(folder), dtype)
    tokenizer = load_tokenizer(folder)
    layers = int(config.num_hidden_layers)
    collect_as_usual()
    return Classifier(
        model=loaded,
        tokenizer=tokenizer,
        layers=layers,
        loaded_layers=layers,
        device=loaded.device,
        dtype=dtype,
        context=read_record(folder).get("context") or _context(loaded, tokenizer),
        name=identity.name,
        revision=identity.revision,
        weights=identity.weights,
    )


def _context(model: Any, tokenizer: Any) -> int:
    """Tokens that model and tokenizer are made for; where positions count from the padding's, the first are lost."""
    limit = int(getattr(model.config, "max_position_embeddings", LONGEST))
    embedding = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embedding, "padding_idx", None)
    limit -= 0 if padding is None else padding + 1
    stated = int(tokenizer.model_max_length)
    return min(limit, stated) if stated < LONGEST else limit
