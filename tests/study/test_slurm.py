import sys
import types

from layerrank.study import slurm


def asked(answers):
    """A function that gives these answers in turn, and the list of those that are left."""
    left = list(answers)
    return (lambda: left.pop(0)), left


def test_the_first_answer_is_kept_while_the_controller_is_away():
    ask, left = asked([300, None, None])
    remembered = slurm.Remembered(ask)
    assert [remembered() for _ in range(5)] == [300] * 5
    assert len(left) == 2


def test_an_answer_is_waited_for_but_not_for_ever(monkeypatch):
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    ask, _ = asked([None, None, 300])
    assert slurm.Remembered(ask, attempts=5, pause=2.0)() == 300
    assert pauses == [2.0, 2.0]
    assert slurm.Remembered(lambda: None, attempts=3)() is None


def test_the_plugin_asks_through_it(monkeypatch):
    plugin = types.ModuleType(slurm.PLUGIN)
    plugin.get_min_job_age = lambda: 3600
    monkeypatch.setitem(sys.modules, slurm.PLUGIN, plugin)
    slurm.steady()
    first = plugin.get_min_job_age
    slurm.steady()
    assert plugin.get_min_job_age is first and first() == 3600


def test_the_pinned_plugin_has_what_is_replaced():
    import snakemake_executor_plugin_slurm as plugin

    assert callable(plugin.get_min_job_age)
    assert "get_min_job_age" in plugin.Executor.check_active_jobs.__code__.co_names


def test_without_the_plugin_nothing_happens(monkeypatch):
    monkeypatch.delitem(sys.modules, slurm.PLUGIN, raising=False)
    slurm.steady()
