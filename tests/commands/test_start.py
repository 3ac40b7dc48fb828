"""What a model's job does before its first token: nothing twice, and nothing that another has done (counted)."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.lists import drawn
from support.tiny import save_tiny

from layerrank.core import garbage
from layerrank.core.files import write_candidates
from layerrank.models import identity
from layerrank.models.sources import fetch_model
from layerrank.study import code

COUNTED = """
import gc, json, os, sys
from importlib import metadata
counts = {"opened": [], "passes": 0, "collected": [0, 0, 0], "asked": [], "parsed": 0}

def collected(phase, about):
    counts["collected"][about["generation"]] += phase == "start"

def asked(name):
    counts["asked"].append([sys._getframe(1).f_globals["__name__"], name])
    return version(name)

def parsed(path):
    counts["parsed"] += 1
    return tree(path)

def passed(module, _):
    counts["passes"] += type(module).__name__ == "LlamaModel"

class Watch:
    def find_spec(self, name, path, target=None):
        if name == "layerrank.models.decoder":
            import torch
            torch.nn.modules.module.register_module_forward_pre_hook(passed)

def ready(*_, **__):
    loaded = "transformers.models.llama.modeling_llama" in sys.modules
    print(json.dumps(counts | {"threshold": gc.get_threshold(), "loaded": loaded}), flush=True)
    os._exit(0)

sys.addaudithook(lambda event, about: counts["opened"].append(str(about[0])) if event == "open" else None)
gc.callbacks.append(collected)
version, metadata.version = metadata.version, asked
sys.meta_path.insert(0, Watch())
from layerrank.core import garbage, progress
from layerrank.study import code
tree, code._tree = code._tree, parsed
progress.progress = ready  # called when the model is about to read its first query
from layerrank import __main__
sys.argv[0] = "layerrank"
__main__.run()
"""
CELL = ["rerank", "--framework", "setwise", "--mechanism", "attention", "--family", "chatml", "--output", "run.txt"]
EXTRACT = ["extract-attention", "--family", "chatml", "--output", "signal.arrow"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a model as a study has it, and candidates."""
    folder = tmp_path_factory.mktemp("start")
    source = {"source": "folder", "path": str(save_tiny(folder / "source", "llama"))}
    model = folder / "models" / identity.folder_name("m", source, folder)
    fetch_model(identity.pinned("m", source, folder), folder, model, "m")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity, "SETTLED", -1)  # as if it had been fetched some seconds ago
        identity.identify(model)
    write_candidates(folder / "base.jsonl.gz", drawn(2, 3, range(2, 4)))
    return folder


def started(folder, words):
    """What a job has done when its model is about to read the first query."""
    (model,) = (path for path in (folder / "models").iterdir() if path.is_dir())
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, *words, "--model", model, "--candidates", "base.jsonl.gz"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {code.TOLD: code.told(words[0])},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["loaded"]
    return found | {"opened": Counter(Path(name).name for name in found["opened"])}


def test_a_job_finds_out_nothing_twice_and_nothing_that_another_has_found(study):
    first = started(study, CELL)
    assert first["passes"] > 0  # the model's trial
    for words in (CELL, EXTRACT):
        found = started(study, words)
        assert found["passes"] == found["opened"]["model.safetensors"] == 0  # safetensors maps it by itself
        assert found["parsed"] == 0  # the digest of its code is as the workflow told it
        assert found["opened"]["tokenizer.json"] == 1
        ours = Counter(library for module, library in found["asked"] if module == "layerrank.core.versions")
        assert ours == {"torch": 1, "transformers": 1, "tokenizers": 1}
        assert found["collected"][2] == 0  # nothing looks for garbage among all that is imported
        assert tuple(found["threshold"]) != garbage.SELDOM  # as usual, once there may be some


def test_a_digest_counts_as_told_while_the_files_are_those_that_it_is_of(monkeypatch, tmp_path):
    folder = tmp_path / "layerrank"
    shutil.copytree(code.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PACKAGE", folder)
    monkeypatch.setattr(code, "code_digest", lambda subcommand: f"taken-of-{subcommand}")
    said = code.told("rerank", "extract-attention")
    monkeypatch.setenv(code.TOLD, said.replace("taken-of", "told-of"))
    assert code.running_digest("extract-attention") == "told-of-extract-attention"
    assert code.running_digest("evaluate") == "taken-of-evaluate"
    for name in ("ranking/engine.py", "prompts/families.yaml"):
        path, before = folder / name, (folder / name).stat()
        path.write_bytes(path.read_bytes()[:-1] + b" ")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert code.running_digest("rerank") == "taken-of-rerank"
        monkeypatch.setenv(code.TOLD, code.told("rerank").replace("taken-of", "told-of"))
        assert code.running_digest("rerank") == "told-of-rerank"
    (folder / "ranking/more.py").touch()
    assert code.running_digest("rerank") == "taken-of-rerank"
    monkeypatch.delenv(code.TOLD)
    assert code.running_digest("rerank") == "taken-of-rerank"
