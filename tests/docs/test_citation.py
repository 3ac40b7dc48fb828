"""CITATION.cff says what the package says of itself."""

from pathlib import Path

import yaml

from layerrank.core.versions import LAYERRANK

ROOT = Path(__file__).parents[2]


def test_the_citation_is_of_this_version_and_licence():
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert about["cff-version"] == "1.2.0"
    assert about["version"] == LAYERRANK
    assert f'license = "{about["license"]}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {"message", "title", "authors", "type"} <= about.keys()
