import shutil

import pytest

from layerrank.commands import SUBCOMMANDS
from layerrank.core.errors import UserError
from layerrank.study import code


def forget():
    for function in (code._file, code._exists, code._whole, code._parts):
        function.cache_clear()


@pytest.fixture
def digests(monkeypatch):
    """Digests of a package in a folder, read anew each time."""

    def of(folder):
        monkeypatch.setattr(code, "PACKAGE", folder)

        def digest(subcommand):
            forget()
            return code.code_digest(subcommand)

        return digest

    yield of
    forget()


@pytest.fixture
def package(tmp_path, digests):
    files = {
        "commands/stage.py": (
            '"""A stage."""\n'
            "from layerrank.commands.arguments import depth\n\n"
            "def add_sort(parser):\n    depth(parser)\n\n"
            'def run_sort(o):\n    """Sort."""\n    from layerrank.sorting import go\n    go(_read(o))\n\n'
            "def _read(o):\n    return o\n\n"
            "def add_draw(parser):\n    pass\n\n"
            "def run_draw(o):\n    pass\n"
        ),
        "commands/arguments.py": "DEPTH = 100\ndef depth(p):\n    return DEPTH\ndef seed(p):\n    return 1\n",
        "sorting/__init__.py": "from layerrank.sorting.heap import go\n",
        "sorting/heap.py": "def go(o):\n    # why\n    return 1\n",
        "sorting/table.yaml": "a: 1\n",
        "drawing.py": "def line():\n    return 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path, digests(tmp_path)


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


CHANGES = {
    "the function": ("commands/stage.py", "go(_read(o))", "go(_read([o]))"),
    "its arguments": ("commands/stage.py", "    depth(parser)\n", "    depth(parser)\n    depth(parser)\n"),
    "a helper of its module": ("commands/stage.py", "return o", "return [o]"),
    "shared arguments": ("commands/arguments.py", "return DEPTH", "return DEPTH + 1"),
    "a constant of shared arguments": ("commands/arguments.py", "DEPTH = 100", "DEPTH = 10"),
    "an imported package": ("sorting/__init__.py", "import go", "import go as go"),
    "a module that it imports": ("sorting/heap.py", "return 1", "return 2"),
    "data beside the code": ("sorting/table.yaml", "a: 1", "a: 2"),
}
NO_CHANGES = {
    "a comment": ("sorting/heap.py", "# why", "# because"),
    "a docstring": ("sorting/heap.py", "    # why", '    """Go."""'),
    "the subcommand's docstring": ("commands/stage.py", '"""Sort."""', '"""Sort it."""'),
    "brackets": ("sorting/heap.py", "return 1", "return (1)"),
    "another subcommand of the same module": (
        "commands/stage.py",
        "def run_draw(o):\n    pass",
        "def run_draw(o):\n    1",
    ),
    "arguments that it does not take": ("commands/arguments.py", "return 1", "return 2"),
    "a module that it does not import": ("drawing.py", "return 1", "return 2"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_edit_of_what_a_subcommand_uses_changes_its_digest(package, what):
    folder, digest = package
    before = digest("sort")
    name, old, new = CHANGES[what]
    edit(folder / name, old, new)
    assert digest("sort") != before


@pytest.mark.parametrize("what", NO_CHANGES)
def test_other_edits_do_not(package, what):
    folder, digest = package
    before = digest("sort")
    name, old, new = NO_CHANGES[what]
    edit(folder / name, old, new)
    assert digest("sort") == before


REAL = [
    ("layers/transfer.py", "transfer", ["sweep-windows", "rerank"]),
    ("layers/selection.py", "select-window", ["sweep-windows", "layer-profile"]),
    ("ranking/generation.py", "rerank", ["rerank-cached", "extract-attention"]),
    ("evaluation/compare.py", "compare", ["evaluate", "aggregate"]),
    ("latency/stages.py", "measure-latency", ["rerank", "extract-attention"]),
    ("report/figures/sweep.py", "plot-sweep", ["plot-profile", "select-window"]),
    ("collections/beir.py", "prepare-collection", ["make-candidates", "evaluate"]),
    ("attention/probe.py", "extract-attention", ["sweep-windows", "rerank-cached"]),
]


@pytest.fixture
def copy(tmp_path, digests):
    folder = tmp_path / "layerrank"
    shutil.copytree(code.PACKAGE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder, digests(folder)


@pytest.mark.parametrize(("name", "changes", "stay"), REAL)
def test_an_edit_of_one_stage_leaves_others_as_they_are(copy, name, changes, stay):
    folder, digest = copy
    before = {subcommand: digest(subcommand) for subcommand in [changes, *stay]}
    with (folder / name).open("a") as file:
        file.write("\nADDED = 1\n")
    assert digest(changes) != before[changes]
    assert {subcommand: digest(subcommand) for subcommand in stay} == {
        subcommand: before[subcommand] for subcommand in stay
    }


def test_subcommands_of_one_file_have_digests_of_their_own(copy):
    folder, digest = copy
    before = {name: digest(name) for name in ("transfer", "sweep-windows")}
    edit(
        folder / "commands/layers.py",
        "    table = transfer(sweeps, rule, selections, same_collection=options.same_collection)\n",
        "    table = transfer(sweeps, rule, [*selections], same_collection=options.same_collection)\n",
    )
    assert digest("transfer") != before["transfer"]
    assert digest("sweep-windows") == before["sweep-windows"]


def test_every_subcommand_has_a_digest_and_no_two_share_it():
    assert len({code.code_digest(name) for name in SUBCOMMANDS}) == len(SUBCOMMANDS)


def test_no_subcommand_is_refused():
    with pytest.raises(UserError, match=r"'sweep'.*run_sweep"):
        code.code_digest("sweep")
