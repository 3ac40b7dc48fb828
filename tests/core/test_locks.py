"""One writer at a time, and never through a link: the target of whatever lies in a lock's place stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.server import Site, serving
from support.signals import random_signal

from layerrank.attention.store import SignalWriter, read_signals
from layerrank.collections.download import Remote, fetch
from layerrank.core.errors import UserError
from layerrank.core.locks import locked, open_exclusive, part_folder


def linked(place: Path, target: Path) -> None:
    place.symlink_to(target)


def dangling(place: Path, target: Path) -> None:
    place.symlink_to(target.with_name("absent"))


def hard(place: Path, target: Path) -> None:
    place.hardlink_to(target)


def folder(place: Path, target: Path) -> None:
    place.mkdir()


def pipe(place: Path, target: Path) -> None:
    os.mkfifo(place)


def open_it(path: Path) -> None:
    open_exclusive(path / ".run.partial", "this run").close()


def lock_it(path: Path) -> None:
    with locked(path / ".run.partial"):
        pass


def store_it(path: Path) -> None:
    SignalWriter(path / "run", {"model": "tiny"})


def download_lock(path: Path) -> None:
    (path / ".run.partial").rename(path / "file.lock")
    fetch(Remote(["http://127.0.0.1:9/file"]), path / "file", "a file")


REFUSED = [
    (linked, open_it, r"\.run\.partial: it is a symbolic link"),
    (dangling, open_it, r"\.run\.partial: it is a symbolic link"),
    (hard, open_it, r"\.run\.partial: it has another name \(a hard link\)"),
    (folder, open_it, r"\.run\.partial: it is no file"),
    (pipe, open_it, r"\.run\.partial: it is no file"),
    (linked, lock_it, r"\.run\.partial: it is a symbolic link"),
    (dangling, lock_it, r"\.run\.partial: it is a symbolic link"),
    (hard, lock_it, r"\.run\.partial: it has another name"),
    (folder, lock_it, r"\.run\.partial: it is no file"),
    (linked, store_it, r"\.run\.partial: it is a symbolic link"),
    (dangling, store_it, r"\.run\.partial: it is a symbolic link"),
    (hard, store_it, r"\.run\.partial: it has another name"),
    (linked, download_lock, r"file\.lock: it is a symbolic link"),
    (dangling, download_lock, r"file\.lock: it is a symbolic link"),
]


@pytest.mark.parametrize(("laid", "use", "line"), REFUSED)
def test_what_is_no_file_of_its_own_is_refused_and_its_target_stays(tmp_path, laid, use, line):
    target = tmp_path / "target"
    target.write_bytes(b"of somebody else")
    place = tmp_path / "cache" / ".run.partial"
    place.parent.mkdir()
    laid(place, target)
    with pytest.raises(UserError, match=line) as error:
        use(place.parent)
    assert "\n" not in str(error.value)
    assert target.read_bytes() == b"of somebody else"
    assert not (tmp_path / "absent").exists()


def test_a_download_is_not_written_through_a_link(tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"of somebody else")
    (tmp_path / "file.part").symlink_to(target)
    with serving(Site({"/file": b"new"})) as site, pytest.raises(UserError, match=r"file\.part: it is a symbolic link"):
        fetch(Remote([site.url + "/file"], "sha256:" + "0" * 64), tmp_path / "file", "a file")
    assert target.read_bytes() == b"of somebody else"


@pytest.mark.parametrize(("mode", "expected"), [(0o700, 0o600), (0o755, 0o644), (0o775, 0o664), (0o2770, 0o660)])
def test_a_new_file_has_the_permissions_of_its_folder(tmp_path, mode, expected):
    place = tmp_path / "cache"
    place.mkdir()
    place.chmod(mode)
    with open_exclusive(place / "file", "this file"):
        pass
    assert (place / "file").stat().st_mode & 0o777 == expected


def test_the_second_writer_is_refused_until_the_first_one_ends(tmp_path):
    path = tmp_path / "run"
    with open_exclusive(path, "this run") as first:
        first.write(b"kept")
        first.flush()
        with pytest.raises(UserError, match=r"run: another process is writing this run$"):
            open_exclusive(path, "this run")
    with open_exclusive(path, "this run") as second:
        assert second.read() == b"kept"


HOLDER = """
import sys, time
from pathlib import Path
from layerrank.core.locks import locked, part_folder
with locked(Path(sys.argv[1])), part_folder(Path(sys.argv[2])) as made:
    (made / "half").write_text("half")
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
    (made / "half").rename(sys.argv[4])
"""


def holder(tmp_path: Path, seconds: float) -> subprocess.Popen[str]:
    words = [str(tmp_path / name) for name in ("lock", "part", "result")]
    command = [sys.executable, "-c", HOLDER, words[0], words[1], str(seconds), words[2]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_waiting_process_goes_on_after_the_first(tmp_path):
    process = holder(tmp_path, 0.5)
    with locked(tmp_path / "lock"):
        assert (tmp_path / "result").read_text() == "half"  # it was let go only when the work was whole
    assert process.wait() == 0


def test_what_a_killed_process_left_is_cleaned_at_the_next_start(tmp_path):
    process = holder(tmp_path, 60)
    process.kill()
    process.wait()
    assert (tmp_path / "part" / "half").exists()
    with locked(tmp_path / "lock"), part_folder(tmp_path / "part") as made:
        assert list(made.iterdir()) == []
    assert not (tmp_path / "part").exists()


def test_a_part_folder_is_not_emptied_through_a_link(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "file").write_text("of somebody else")
    (tmp_path / "part").symlink_to(tmp_path / "own")
    with pytest.raises(UserError, match="part: it is a symbolic link"), part_folder(tmp_path / "part"):
        pass
    assert (tmp_path / "own" / "file").read_text() == "of somebody else"


WAITER = """
import sys
from pathlib import Path
from layerrank.core.locks import locked
print("on", flush=True)
with locked(Path(sys.argv[1])):
    sys.exit(not Path(sys.argv[1]).exists())
"""


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path):
    """Whoever finishes removes the growing file under its lock: what waits must not hold a file that has no name."""
    path = tmp_path / "run"
    first = open_exclusive(path, "this run")
    waiting = subprocess.Popen([sys.executable, "-c", WAITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert waiting.stdout is not None and waiting.stdout.readline() == "on\n"
    time.sleep(0.3)
    path.unlink()
    first.close()
    assert waiting.wait() == 0


def test_a_store_begun_by_another_process_is_left_to_it(tmp_path):
    with SignalWriter(tmp_path / "store", {"model": "tiny"}) as first:
        first.append(random_signal("q", lengths=(2,), seed=0))
        with pytest.raises(UserError, match="another process is writing this store"):
            SignalWriter(tmp_path / "store", {"model": "tiny"})
        first.close()
    assert [signal.qid for signal in read_signals(tmp_path / "store")] == ["q"]
