"""What a trial of a model has shown is kept by its files, versions and processor, and by nothing that may change."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny import save_tiny

from layerrank.attention import probe as probes
from layerrank.attention.probe import Probe
from layerrank.core import versions
from layerrank.core.errors import UserError
from layerrank.models import decoder as decoders
from layerrank.models.decoder import load_decoder
from layerrank.models.identity import folder_name, pinned
from layerrank.models.sources import fetch_model
from layerrank.models.trials import KEPT, Trials


@pytest.fixture
def fetched(tmp_path):
    """A model as a study has it: in the cache, with its record; masks of a sliding window."""
    source = {"source": "folder", "path": str(save_tiny(tmp_path / "source", "mistral_window"))}
    cache = tmp_path / "cache"
    output = cache / "models" / folder_name("m", source, cache)
    fetch_model(pinned("m", source, cache), cache, output, "m")
    return output


@pytest.fixture
def tried(monkeypatch):
    """Names of the trials that are made, in order."""
    made = []
    for place, name in ((decoders, "check_model"), (decoders, "check_finite"), (decoders, "_check_head")):
        real = getattr(place, name)
        monkeypatch.setattr(place, name, lambda *a, real=real, name=name, **k: (made.append(name), real(*a, **k))[1])
    real_try = Probe._try
    monkeypatch.setattr(Probe, "_try", lambda self, name: (made.append("probe"), real_try(self, name))[1])
    return made


def kept(folder):
    return folder.with_name(f".{folder.name}.trials.json")


def test_a_model_is_tried_once(fetched, tried):
    first = Probe(load_decoder(fetched, head=True))
    assert tried == ["check_model", "check_finite", "_check_head", "probe"]
    again = Probe(load_decoder(fetched, head=True))
    assert len(tried) == 4
    assert [mask.window for mask in first._masks] == [mask.window for mask in again._masks] != [None]


def test_every_depth_and_dtype_has_its_own_trials(fetched, tried):
    Probe(load_decoder(fetched))
    Probe(load_decoder(fetched, layers=2))
    Probe(load_decoder(fetched, dtype="bfloat16"))
    assert tried.count("probe") == tried.count("check_finite") == 3
    assert tried.count("check_model") == 1  # which looks at no weights


def test_other_versions_and_other_code_are_tried_again(fetched, tried, monkeypatch, tmp_path):
    Probe(load_decoder(fetched))
    monkeypatch.setattr(versions, "of_numbers", lambda: {"torch": "another"})
    Probe(load_decoder(fetched))
    assert tried.count("probe") == tried.count("check_model") == 2
    edited = tmp_path / "probe.py"
    edited.write_text("# edited")
    monkeypatch.setattr(probes, "CODE", (str(edited), *probes.CODE[1:]))
    Probe(load_decoder(fetched))
    assert tried.count("probe") == 3
    assert tried.count("check_model") == 2


def test_changed_weights_are_refused_as_before(fetched):
    load_decoder(fetched)
    weights = fetched / "model.safetensors"
    tensors = {name: torch.full_like(tensor, float("nan")) for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(UserError, match="not as it was fetched"):
        load_decoder(fetched)


def test_what_fails_is_not_kept(tmp_path):
    trials = Trials(tmp_path / "trials.json", "weights")

    def fail():
        raise UserError("no")

    with pytest.raises(UserError):
        trials.once("probe", [], [], fail)
    assert trials.once("probe", [], [], lambda: [1, None]) == [1, None]
    assert trials.once("probe", [], [], fail) == [1, None]
    with pytest.raises(UserError):
        Trials(trials.path, "other weights").once("probe", [], [], fail)


def test_a_folder_of_ones_own_is_tried_each_time_and_nothing_is_written_beside_it(tmp_path, tried):
    folder = save_tiny(tmp_path / "tiny", "llama")
    before = sorted(tmp_path.iterdir())
    Probe(load_decoder(folder))
    Probe(load_decoder(folder))
    assert tried.count("probe") == 2
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("text", ["", "[", "{}", "[1, {}]", '[{"key": 1}]'])
def test_a_damaged_record_is_made_anew(tmp_path, text):
    trials = Trials(tmp_path / "trials.json", "weights")
    trials.path.write_text(text)
    assert trials.once("probe", [], [], lambda: "found") == "found"
    assert json.loads(trials.path.read_text())[-1]["found"] == "found"


def test_the_latest_are_kept(tmp_path):
    trials = Trials(tmp_path / "trials.json", "weights")
    for number in range(KEPT + 2):
        trials.once(f"{number}", [], [], lambda number=number: number)
    assert [row["found"] for row in json.loads(trials.path.read_text())] == list(range(2, KEPT + 2))


def test_a_record_that_cannot_be_written_stops_nothing(fetched, tried, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("layerrank.models.trials.write_json", refuse)
    Probe(load_decoder(fetched))
    Probe(load_decoder(fetched))
    assert tried.count("probe") == 2
    assert not kept(fetched).exists()
