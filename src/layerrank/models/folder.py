"""A model folder's configuration and tokenizer, without its weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub.errors import StrictDataclassError

from layerrank.core.errors import UserError
from layerrank.models.damage import DAMAGED, in_one_line

CLASSIFIER = "ForSequenceClassification"
"""How the classes of transformers end whose head gives a text, or a pair, a score."""


def load_config(folder: Path) -> Any:
    """Return the configuration of a model folder; `UserError` where it is not one that can be used."""
    config = _config(folder)
    if heads := _classifiers(config):
        raise UserError(f"{folder}: a cross-encoder ({heads[0]}), not a decoder: mechanism cross_encoder ranks with it")
    if config.get_text_config() is not config:
        raise UserError(
            f"{folder}: model type {config.model_type!r} is more than a text decoder; use a text-only model"
        )
    if getattr(config, "is_encoder_decoder", False) or not getattr(config, "num_hidden_layers", 0):
        raise UserError(f"{folder}: model type {config.model_type!r} is not a decoder")
    if not isinstance(getattr(config, "num_attention_heads", None), int) or config.num_attention_heads < 1:
        raise UserError(f"{folder}: model type {config.model_type!r} has no attention heads; use a transformer decoder")
    return config


def load_classifier_config(folder: Path) -> Any:
    """Return the configuration of a cross-encoder's folder; `UserError` where it is none."""
    config = _config(folder)
    if not _classifiers(config):
        found = ", ".join(getattr(config, "architectures", None) or ["no architecture"])
        raise UserError(
            f"{folder}: no cross-encoder: its config.json names {found}, expected one that ends in {CLASSIFIER}"
        )
    if config.num_labels != 1:
        raise UserError(f"{folder}: its head has {config.num_labels} labels; expected one score")
    if getattr(config, "is_encoder_decoder", False) or not getattr(config, "num_hidden_layers", 0):
        raise UserError(f"{folder}: model type {config.model_type!r} is not an encoder")
    return config


def is_classifier(folder: Path) -> bool:
    """Whether the model in a folder is a cross-encoder; `UserError` where its configuration cannot be read."""
    return bool(_classifiers(_config(folder)))


def _config(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: not a model folder, it has no config.json")
    try:
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (StrictDataclassError, *DAMAGED) as error:
        raise UserError(f"{folder}: its configuration cannot be read ({in_one_line(error)})") from None


def _classifiers(config: Any) -> list[str]:
    """Names among the model's classes that say a head of classification."""
    return [name for name in getattr(config, "architectures", None) or [] if name.endswith(CLASSIFIER)]


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a model folder."""
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except DAMAGED as error:
        raise UserError(f"{folder}: its tokenizer cannot be read ({in_one_line(error)})") from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, and no report of the layers that were left out on purpose."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
