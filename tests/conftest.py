"""Tiny models are fastest on one thread: two only wait for each other, all the more where tests share the machine."""

import gc

from layerrank.core import garbage

garbage.collect_seldom()  # before the line below, which makes much and leaves nothing

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Files as work units, the longest first, where tests run on several cores."""
    from support.scheduling import ByFile

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_finish():
    """What was imported and collected stays: no search for garbage goes through it again."""
    garbage.collect_as_usual()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        from support import scheduling

        scheduling.sort(items)


@pytest.fixture(params=["alone", "padded"])
def grouping(request, monkeypatch):
    """Each prompt of a pass with kernels of its own, as on a processor, or all padded to share them, as on a device."""
    if request.param == "padded":
        monkeypatch.setattr("layerrank.attention.probe._grouped", lambda places, device: [list(range(len(places)))])
    return request.param
