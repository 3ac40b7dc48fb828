"""docs/semantics.md is what docstrings cite: its sections are there, and every citation names one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".yaml", ".smk", ".rst", ".j2"}
CITED = re.compile(r"semantics\.md ((?:§\d+(?:, | and )?)+)")


def sections():
    text = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
    return [int(number) for number in re.findall(r"^## (\d+)\. ", text, re.MULTILINE)]


def test_sections_are_numbered_from_1_without_a_gap():
    assert sections() == list(range(1, 11))


def test_every_citation_names_a_section():
    known = set(sections())
    folders = ("src", "tests", "benchmarks", "rules", "workflow")
    files = [path for name in folders for path in sorted((ROOT / name).rglob("*")) if path.suffix in SUFFIXES]
    cited = {path: numbers for path in files if (numbers := citations(path.read_text(encoding="utf-8")))}
    assert len(cited) > 20
    strangers = {str(path): numbers - known for path, numbers in cited.items() if numbers - known}
    assert not strangers
    files.remove(Path(__file__))
    assert not [str(path) for path in files if re.search(r"semantics\.md(?! §)", path.read_text(encoding="utf-8"))]


def citations(text):
    return {int(number) for group in CITED.findall(text) for number in re.findall(r"\d+", group)}
