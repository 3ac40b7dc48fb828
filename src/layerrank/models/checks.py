"""What a model folder must hold, looked at when it is fetched: one line for whatever would mislead or fail later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from layerrank.core.errors import UserError
from layerrank.core.files import read_json
from layerrank.core.heads import parse_heads
from layerrank.core.windows import LayerWindow
from layerrank.models.damage import DAMAGED, in_one_line
from layerrank.models.identity import read_record

INDEX = "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")


def lacking(folder: Path) -> list[str]:
    """Names of files without which a folder is no model.

    Raises:
        UserError: an index of weights that is none, or that names files elsewhere.
    """
    names = [] if (folder / "config.json").is_file() else ["config.json"]
    if not any((folder / name).is_file() for name in TOKENIZERS):
        names.append("tokenizer.json")
    if (folder / INDEX).is_file():
        names += [shard for shard in shards(folder / INDEX) if not (folder / shard).is_file()]
    elif not any(folder.glob("*.safetensors")):
        names.append("model.safetensors")
    return names


def shards(index: Path) -> list[str]:
    """Names of the files that an index of weights refers to, all in its own folder. Raises as `lacking`."""
    content = read_json(index)
    weights = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise UserError(f"{index}: key 'weight_map' is missing or no mapping of weights to files")
    for weight, name in weights.items():
        if not isinstance(name, str) or Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise UserError(f"{index}: weight {weight!r} lies in {name!r}: expected a safetensors file of this folder")
    return sorted(set(weights.values()))


def check_layers(folder: Path, asked: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Hold what a study asks of a model's layers against its configuration; return {model, layers, heads}.

    Args:
        folder: the model.
        asked: `windows` ({key: a list of windows}), `heads` ({key: heads}) and `top` ({key: how many heads are to be
            chosen, in which window}), by the key of the study that says them.

    Raises:
        UserError: a window, head or number of heads beyond the model: key, value and what the model has.
    """
    from layerrank.models.folder import load_config

    config = load_config(folder)
    name = read_record(folder).get("name") or folder.resolve().name
    layers, heads = int(config.num_hidden_layers), int(config.num_attention_heads)

    def held(key: str, check: Callable[[], object]) -> None:
        try:
            check()
        except UserError as error:
            raise UserError(f"config key {key}: model {name!r}: {error}") from None

    for key, windows in asked.get("windows", {}).items():
        for window in windows:
            held(key, partial(LayerWindow.parse, window, layers))
    for key, value in asked.get("heads", {}).items():
        held(key, partial(parse_heads, value, layers, heads))
    for key, (top, window) in asked.get("top", {}).items():
        held(key, partial(_enough, top, LayerWindow.parse(window, layers), heads))
    return {"model": name, "layers": layers, "heads": heads}


def _enough(top: int, window: LayerWindow, heads: int) -> None:
    if top > window.width * heads:
        raise UserError(f"{top}: layers {window.span} have {window.width * heads} heads")


def check_links(folder: Path, where: str) -> None:
    """Refuse a folder with links out of it; those of the hub's own cache lead to its `blobs`, which is in order.

    Raises:
        UserError: the link, by name.
    """
    whole = folder.resolve()
    if whole.parent.name == "snapshots":
        whole = whole.parent.parent
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not path.resolve().is_relative_to(whole):
            raise UserError(f"{where}: {path.name} is a link to outside of the folder; put the file itself there")


def read_config(folder: Path, where: str) -> dict[str, Any]:
    """A model folder's config.json; `UserError` where it names no kind of model."""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UserError(f"{where}: its config.json says no model_type: it is no configuration of a model")
    return config


def check_model(folder: Path, where: str, *, whole: bool = True) -> None:
    """Refuse what cannot be loaded, or would be loaded otherwise than its configuration says. Weights are not read.

    Without `whole`, weights may lack: whoever loads the first layers alone needs no others.

    Raises:
        UserError: a damaged or foreign file, code that the model asks for, weights that lack, are left over or of
            another shape, tokens without an embedding.
    """
    if missing := lacking(folder):
        raise UserError(f"{where}: its folder lacks {', '.join(missing)}")
    import transformers

    config = read_config(folder, where)
    if config["model_type"] not in transformers.models.auto.configuration_auto.CONFIG_MAPPING:
        own_code = " (it asks for code of its own, which is never run)" if "auto_map" in config else ""
        raise UserError(f"{where}: transformers does not know model type {config['model_type']!r}{own_code}")
    from layerrank.models.folder import is_classifier, load_classifier_config, load_config, load_tokenizer

    try:
        classifier = is_classifier(folder)
        (load_classifier_config if classifier else load_config)(folder)
        tokenizer = load_tokenizer(folder)
    except UserError as error:
        raise UserError(f"{where}: {str(error).removeprefix(f'{folder}: ')}") from None
    except DAMAGED as error:
        raise UserError(f"{where}: its configuration or tokenizer cannot be read ({in_one_line(error)})") from None
    _check_weights(folder, where)
    loader = transformers.AutoModelForSequenceClassification if classifier else transformers.AutoModelForCausalLM
    _check_tokens(tokenizer, _outline(folder, where, whole, loader), where)


def _check_weights(folder: Path, where: str) -> None:
    """Refuse a file whose header is damaged or whose length is not what its header says."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "numpy") as weights:
                weights.keys()
        except (SafetensorError, *DAMAGED) as error:
            raise UserError(f"{where}: {path.name} is damaged ({in_one_line(error)})") from None


def _outline(folder: Path, where: str, whole: bool, loader: Any) -> Any:
    """The model without its weights' values, all of them in their places."""
    from layerrank.models.folder import quiet

    try:
        with quiet():
            model, report = loader.from_pretrained(
                folder,
                device_map="meta",
                dtype="auto",
                trust_remote_code=False,
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except DAMAGED as error:
        raise UserError(f"{where}: the model cannot be loaded ({in_one_line(error)})") from None
    for key, what in (
        ("missing_keys", "lacks weights"),
        ("unexpected_keys", "holds weights that its config.json has no place for"),
        ("mismatched_keys", "holds weights of another shape than its config.json says"),
    ):
        names = sorted(str(found[0]) if isinstance(found, tuple) else str(found) for found in report[key])
        if names and (whole or key != "missing_keys"):
            raise UserError(f"{where}: the checkpoint {what}: {_some(names)}")
    return model


def _check_tokens(tokenizer: Any, model: Any, where: str) -> None:
    """Refuse tokens beyond the embeddings, but for special ones, which no text becomes."""
    rows = int(model.get_input_embeddings().weight.shape[0])
    special: Mapping[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
    beyond = {
        token: index
        for token, index in tokenizer.get_vocab().items()
        if index >= rows and not (index in special and special[index].special)
    }
    if beyond:
        token = min(beyond, key=lambda name: beyond[name])
        raise UserError(
            f"{where}: its tokenizer has {len(beyond)} tokens beyond the {rows} embeddings, {token!r} among them"
        )


def _some(names: Collection[str]) -> str:
    first = next(iter(names))
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"
