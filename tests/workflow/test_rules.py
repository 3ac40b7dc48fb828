"""What every rule must keep to, read from the rules' own text."""

import re

import pytest
import yaml
from support.studies import CHECKOUT

FILES = sorted((CHECKOUT / "rules").rglob("*.smk"))
EVERY = {
    name: body
    for path in FILES
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)*)", path.read_text(), flags=re.MULTILINE)
}
RULES = {
    name: body for name, body in EVERY.items() if re.findall(r"^    (\w+):", body, flags=re.MULTILINE) != ["input"]
}
"""All but targets, which only gather what others make."""
DERIVED = set(re.findall(r"^use rule \w+ as (\w+)", "".join(path.read_text() for path in FILES), flags=re.MULTILINE))


def test_there_are_rules():
    assert len(RULES) > 40
    assert EVERY.keys() - RULES.keys() == {"fetch", "prompts"}


def test_the_study_at_a_glance_is_short_and_holds_no_logic():
    text = (CHECKOUT / "Snakefile").read_text()
    assert len(text.splitlines()) < 60
    assert not re.search(r"\blambda\b|^ *def ", text, flags=re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_a_stage_and_short_and_holds_no_logic(path):
    text = path.read_text()
    assert len(text.splitlines()) < (80 if path.name == "common.smk" else 120)
    assert not re.search(r"\blambda\b|^ *def ", text, flags=re.MULTILINE)
    assert ("rule " in re.sub(r"#.*", "", text)) == (path.name != "common.smk")


@pytest.mark.parametrize("name", RULES)
def test_every_path_reaches_the_shell_quoted(name):
    shell = RULES[name].partition("    shell:\n")[2]
    assert shell
    assert "python -m layerrank" in shell
    fields = re.findall(r"\{((?:input|output|log)[^}]*)\}", shell)
    assert fields
    assert [field for field in fields if not field.endswith(":q")] == []


@pytest.mark.parametrize("name", RULES)
def test_every_rule_logs_and_names_its_environment(name):
    assert "    log:\n" in RULES[name]
    assert "    conda:\n" in RULES[name]


def test_the_profile_for_clusters_names_rules_that_exist():
    text = (CHECKOUT / "profiles/slurm/profile.yaml").read_text()
    profile = yaml.safe_load(text)
    partitions = re.findall(r"^#   (\w+): \{slurm_partition", text, flags=re.MULTILINE)
    assert {*profile["groups"], *partitions} <= RULES.keys() | DERIVED
    assert set(profile["group-components"]) <= set(profile["groups"].values())


def test_the_profile_for_clusters_groups_every_rule_but_long_ones_and_those_of_one_item_of_the_report():
    profile = yaml.safe_load((CHECKOUT / "profiles/slurm/profile.yaml").read_text())
    alone = {name for name in RULES if name not in profile["groups"]}
    long = {name for name, body in RULES.items() if "gpu=" in body} | {
        "fetch_model",
        "check_prompts",
        "check_layers",
        "sweep_windows",
        "sweep_orders",
        "transfer",
    }
    others = alone - long
    assert others == {name for name in others if re.search(r"(figure|table|answer)\(", RULES[name])}
