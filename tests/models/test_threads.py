"""Threads that wait: libgomp is told before torch is imported, and who says otherwise is heard."""

import os
import subprocess
import sys

import pytest

SHOW = "import os, sys; assert 'torch' not in sys.modules, 'too late'; print(os.environ.get('GOMP_SPINCOUNT'))"


def spins(code: str, **environment: str) -> str:
    own = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    return subprocess.run(
        [sys.executable, "-c", code], env=own | environment, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_the_command_tells_libgomp_unless_the_environment_does(environment, expected):
    code = f"import layerrank.__main__ as main; main.main(['shape']); {SHOW}"
    assert spins(code, **environment) == expected


def test_the_interface_tells_libgomp_before_torch():
    code = """
import os, sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == 'torch': print(os.environ.get('GOMP_SPINCOUNT'))
sys.meta_path.insert(0, Spy())
from layerrank import Reranker
"""
    assert spins(code) == "1000"
