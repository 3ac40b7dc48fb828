"""Tiny models are fastest on one thread: two only wait for each other, all the more where tests share the machine."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Files as work units, the longest first, where tests run on several cores."""
    from support.scheduling import ByFile

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        from support import scheduling

        scheduling.sort(items)
