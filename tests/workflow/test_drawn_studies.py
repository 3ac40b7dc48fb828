"""Studies drawn from the schemas, planned by Snakemake: each plans, or is refused in the line that loading gives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from support import warm
from support.drawn import drawn_studies
from support.studies import CHECKOUT

from layerrank.core.errors import UserError
from layerrank.study.load import load_study

EMBEDDED = {"collections": ["pocket"], "models": ["smollm2-135m-instruct"]}
FOUND = {
    "no window of all layers": {"systems": {"cached_windows": ["L0-0"]}},
    "no window at all": {"systems": {"cached_windows": [], "windows": []}},
    "no explorer": {"explorer": {"queries": 0}},
    "a listwise framework that is whole in one variant and slides in another": {
        "first_stage": {"depth": 8},
        "variants": {"short": {"depth": 5}},
        "systems": {
            "variant": "base",
            "frameworks": {"listwise": {"size": 5, "step": 2}},
            "mechanisms": {"attention": {}},
        },
    },
    "the measure that is profiled is the one that windows are chosen by": {
        "layers": {"measure": "RR@10", "profile": ["RR@10"]}
    },
    "frameworks and no mechanism": {"systems": {"frameworks": {"setwise": {}}}},
    "every cell left out": {
        "systems": {
            "frameworks": {"setwise": {}},
            "mechanisms": {"generation": {}},
            "cells": {"setwise-generation": False},
        }
    },
    "a selected window of latency alone": {
        "layers": {"selection": {"x": {"rule": "peak"}}},
        "latency": {"windows": ["selected-x"]},
    },
}
"""Studies that once did not plan."""


def plans(folder: Path, study: dict) -> None:
    path = folder / "drawn.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))  # of several faults the first in its order is told
    command = [sys.executable, "-m", "snakemake", "-s", CHECKOUT / "Snakefile", "--dry-run", "--quiet", "all"]
    command += ["--cores", "1", "--nolock", "--configfile", path]
    environment = os.environ | warm.environment()
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, cwd=folder, check=False, env=environment
    )
    said = done.stdout + done.stderr
    try:
        load_study(study, CHECKOUT)
    except UserError as error:
        assert done.returncode, said
        assert str(error) in said
        assert "Traceback" not in said
    else:
        assert done.returncode == 0, said


@pytest.mark.parametrize("name", FOUND)
def test_what_once_failed_plans(tmp_path, name):
    load_study(EMBEDDED | FOUND[name], CHECKOUT)
    plans(tmp_path, EMBEDDED | FOUND[name])


def test_what_is_drawn_plans_or_is_refused(tmp_path):
    @settings(
        max_examples=24,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a smaller case takes minutes of dry runs to find, and says no more
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn_studies())
    def draw(study):
        plans(tmp_path, study)

    draw()
