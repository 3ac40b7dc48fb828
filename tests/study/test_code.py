import pytest

from layerrank.study import code


@pytest.fixture
def package(tmp_path, monkeypatch):
    files = {
        "commands/sort.py": '"""Sort."""\ndef run(o):\n    from layerrank.sorting import go\n    go(o)\n',
        "commands/draw.py": "def run(o):\n    pass\n",
        "sorting/__init__.py": "from layerrank.sorting.heap import go\n",
        "sorting/heap.py": "def go(o):\n    # why\n    return 1\n",
        "sorting/table.yaml": "a: 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "PACKAGE", tmp_path)

    def digest(command="sort"):
        code._read.cache_clear()
        return code.code_digest(command)

    return tmp_path, digest


def test_an_edit_of_an_imported_module_changes_the_digest(package):
    folder, digest = package
    before = digest()
    (folder / "sorting/heap.py").write_text("def go(o):\n    return 2\n")
    assert digest() != before


def test_comments_docstrings_and_touches_do_not(package):
    folder, digest = package
    before = digest()
    (folder / "sorting/heap.py").write_text('def go(o):\n    """Go."""\n    return 1\n')
    assert digest() == before
    (folder / "commands/sort.py").write_text(
        '"""Sort it."""\ndef run(o):\n    from layerrank.sorting import go\n\n    go(o)  # so\n'
    )
    (folder / "sorting/heap.py").write_text("def go(o):\n    # because\n\n    return (1)\n")
    assert digest() == before


def test_data_beside_the_code_counts_and_other_stages_do_not(package):
    folder, digest = package
    before = digest()
    (folder / "commands/draw.py").write_text("def run(o):\n    return 3\n")
    assert digest() == before
    (folder / "sorting/table.yaml").write_text("a: 2\n")
    assert digest() != before


def test_the_real_stages_have_digests_of_their_own():
    assert code.code_digest("rerank-cached") != code.code_digest("evaluate")
