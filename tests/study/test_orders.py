"""The orders of a study: variants of their own, shared with those that are the same; off, nothing of them is there."""

from pathlib import Path

import pytest

from layerrank.core.errors import UserError
from layerrank.study import config as study_config
from layerrank.study.load import load_study
from layerrank.study.paths import paths_of
from layerrank.study.systems import systems

BASE = Path(__file__).parents[2]


class Of:
    """Wildcards."""

    def __init__(self, **names):
        self.__dict__.update(names)


def study(**changes):
    return load_study({"collections": ["pocket"], "models": ["smollm2-135m-instruct"], **changes}, BASE)


def test_off_there_is_nothing_of_them():
    for off in ({}, {"orders": None}):
        found = study(variants={"short": {"words": 20}}, **off)
        paths = paths_of(found, BASE, "resources")
        assert found.variants == {"short": {"words": 20}} and found.orders == {} and paths.orders.names == ()
        assert paths.ranking.variants == paths.attention.variants == ("base", "short")
        assert [path.rpartition("/")[2] for path in paths.evaluation.values] == ["base.tsv", "short.tsv"]
        assert not any(
            "order" in path
            for path in [*paths.report.figures, *paths.report.tables, *paths.report.answers, *paths.attention.signals]
        )
        assert list(paths.evaluation.sensitivity) == ["short"] and paths.evaluation.held_against == []


def test_each_order_is_a_variant_with_a_signal():
    found = study(orders={"shuffles": 2, "queries": 8, "seed": 3})
    assert found.orders == {
        "order-reversed": {"order": "reversed", "queries": 8},
        "order-shuffled-3": {"order": "shuffled", "seed": 3, "queries": 8},
        "order-shuffled-4": {"order": "shuffled", "seed": 4, "queries": 8},
    }
    paths = paths_of(found, BASE, "resources")
    assert paths.ranking.variants == ("base",), "no system runs on them"
    assert paths.attention.variants == ("base", *found.orders)
    assert list(paths.explorer.orders.values()) == ["first-stage", "reversed", "shuffled-3", "shuffled-4"]
    wildcards = Of(collection="pocket", model="smollm2-135m-instruct", variant="order-shuffled-4")
    flags = paths.collections.candidates(wildcards)
    for name, value in (("--order", "shuffled"), ("--seed", "4"), ("--query-limit", "8")):
        assert flags[flags.index(name) + 1] == value
    signals = paths.orders.signals(wildcards)
    assert [Path(path).name.partition(".")[0] for path in signals] == ["base", *found.orders]
    assert paths.orders.qrels(wildcards).endswith("pocket/candidates/order-reversed.qrels.txt")
    assert paths.orders.shuffled == ["--shuffled", "order-shuffled-3", "order-shuffled-4"]
    assert "evaluation/orders.tsv" in paths.evaluation.values[-1]


def test_defaults_and_no_reverse():
    assert [len(study(orders=given).orders) for given in ({}, {"reversed": False}, {"shuffles": 0})] == [5, 4, 1]
    assert study(orders={"queries": None}).orders["order-reversed"] == {"order": "reversed"}


def test_a_variant_of_the_same_settings_shares_the_store():
    found = study(
        variants={"mixed": {"order": "shuffled", "seed": 1, "queries": 9}}, orders={"shuffles": 2, "queries": 9}
    )
    assert study_config.signal_variant(found, "order-shuffled-1") == "mixed"
    assert study_config.signal_variant(found, "order-shuffled-2") == "order-shuffled-2"


def test_the_grid_runs_in_some_orders():
    grid = {"variant": "grid", "orders": 2, "frameworks": {"setwise": {}}, "mechanisms": {"likelihood": {}}}
    found = study(
        variants={"grid": {"queries": 3, "depth": 5}},
        orders={"shuffles": 2, "queries": 9},
        systems=grid,
    )
    assert found.grid_orders == {
        "grid-order-reversed": {"order": "reversed", "queries": 3, "depth": 5},
        "grid-order-shuffled-1": {"order": "shuffled", "seed": 1, "queries": 3, "depth": 5},
    }
    assert "setwise-likelihood" in systems(found, "grid-order-shuffled-1")
    assert "setwise-likelihood" not in systems(found, "order-reversed")
    paths = paths_of(found, BASE, "resources")
    assert paths.ranking.variants == ("base", "grid", *found.grid_orders)
    assert paths.evaluation.held_against == ["grid-order-reversed=grid", "grid-order-shuffled-1=grid"]
    assert paths.evaluation.sensitivity["grid-order-shuffled-1"] == {"order": "shuffled", "seed": 1}
    whole = study(orders={"shuffles": 1, "queries": 9}, systems={**grid, "variant": "base", "orders": 1})
    assert (
        list(whole.grid_orders) == ["order-reversed"]
        and paths_of(whole, BASE, "resources").evaluation.held_against == []
    )
    assert "setwise-likelihood" in systems(whole, "order-reversed")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"orders": {"reversed": False, "shuffles": 0}}, "orders: neither"),
        ({"orders": {}, "passages": {"order": "reversed"}}, "passages.order is 'reversed'"),
        ({"orders": {}, "variants": {"order-reversed": {"order": "reversed"}}}, "variants.order-reversed"),
        ({"variants": {"orders": {"words": 9}}}, "variants.orders"),
        ({"systems": {"orders": 1}}, "systems.orders: 1"),
        ({"layers": {"selection": {"best": {"rule": "best", "orders": "all"}}}}, "selection.best.orders"),
        ({"orders": {"shuffels": 2}}, "mean 'shuffles'"),
    ],
)
def test_what_cannot_be_is_named(changes, words):
    with pytest.raises(UserError) as caught:
        study(**changes)
    assert words in str(caught.value) and "\n" not in str(caught.value)
