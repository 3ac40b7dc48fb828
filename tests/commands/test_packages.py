"""The two locks: each is what pyproject.toml and envs/ ask for, whole, and at versions that get on with each other."""

import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.studies import CHECKOUT

LOCKS = ("requirements.lock", "requirements-extras.lock")
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def pins(name):
    """Version by package of a lock or an environment."""
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    if name.endswith(".yaml"):
        lines = yaml.safe_load(text)["dependencies"][-1]["pip"]
    else:
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = {}
    for line in lines:
        package, sign, version = line.partition("==")
        assert sign and package.strip() == package and version, f"{name}: {line}"
        assert canonicalize_name(package) not in found, f"{name}: {package} comes twice"
        found[canonicalize_name(package)] = version
    return found


BASE, MORE = map(pins, LOCKS)
ALL = {**BASE, **MORE}
BROUGHT = ("nvidia", "triton", "cuda", "setuptools")
"""What torch takes along where it is built for a GPU, and what every virtual environment has."""
ASKED = [(text, "dependencies") for text in PROJECT["dependencies"]]
ASKED += [(text, extra) for extra, texts in EXTRAS.items() for text in texts]


def unmet(requirement, have):
    """What a requirement lacks among pinned versions; nothing where it is not for this Python or machine."""
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return None
    version = have.get(canonicalize_name(requirement.name))
    if version is None:
        return f"{requirement} is not pinned"
    return None if requirement.specifier.contains(version, prereleases=True) else f"{requirement}, pinned {version}"


def test_no_package_is_in_both():
    assert BASE.keys() & MORE.keys() == set()


@pytest.mark.parametrize(("text", "where"), ASKED)
def test_what_the_project_asks_for_is_pinned_at_a_version_that_it_takes(text, where):
    requirement = Requirement(text)
    if canonicalize_name(requirement.name) != "layerrank":
        assert unmet(requirement, BASE if where == "dependencies" else ALL) is None


@pytest.mark.parametrize("lock", LOCKS)
def test_what_the_packages_ask_for_is_pinned_too(lock):
    """Of those that are installed as pinned: all of them where the lock was installed."""
    have, own = (BASE, BASE) if lock == LOCKS[0] else (ALL, MORE)
    looked, missing = 0, []
    for name, version in own.items():
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if package.version.partition("+")[0] == version:
            looked += 1
            missing += [
                f"{name}: {lack}" for text in package.requires or [] if (lack := unmet(Requirement(text), have))
            ]
    if not looked:
        pytest.skip(f"nothing of {lock} is installed")
    assert [line for line in missing if not any(word in line for word in BROUGHT)] == []


@pytest.mark.parametrize("path", sorted((CHECKOUT / "envs").glob("*.yaml")), ids=lambda path: path.stem)
def test_environments_pin_the_same_versions(path):
    assert {name: version for name, version in pins(f"envs/{path.name}").items() if ALL.get(name) != version} == {}


@pytest.mark.parametrize(
    ("text", "lack"),
    [
        ("torch>=99", "torch>=99, pinned"),
        ("no-such-package", "no-such-package is not pinned"),
        ("torch>=2", None),
        ("no-such-package; python_version < '3'", None),
    ],
)
def test_the_check_can_fail(text, lack):
    found = unmet(Requirement(text), BASE)
    assert found is None if lack is None else found.startswith(lack)
