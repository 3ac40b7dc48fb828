"""On PYTHONPATH, this has a first extraction pause after each query: a job can be met in its middle.

TEST_PAUSES is JSON, seconds by the model that the folder is named after. An attempt that finds something stored is not
paused.
"""

import json
import os
import sys
from pathlib import Path

if "extract-attention" in sys.orig_argv:

    def argument(flag: str) -> Path:
        return Path(sys.orig_argv[sys.orig_argv.index(flag) + 1])

    output = argument("--output")
    if not output.with_name(f".{output.name}.partial").exists():
        import time

        from layerrank.attention import store

        seconds = json.loads(os.environ["TEST_PAUSES"]).get(argument("--model").name.rpartition("-")[0], 0)
        append = store.SignalWriter.append

        def append_and_pause(writer, signal):
            append(writer, signal)
            time.sleep(seconds)

        store.SignalWriter.append = append_and_pause
