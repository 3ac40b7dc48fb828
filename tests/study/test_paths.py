"""Input functions and flags, on a study of two collections and two models of which one pair is left out."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from layerrank.study.load import load_study
from layerrank.study.paths import paths_of
from layerrank.study.paths.words import as_json, flags, named, one_of

BASE = Path(__file__).parents[2]
SYSTEMS = ["all", "L1-2", "selected-peak"]


def paths(**changes):
    entry = {"source": "beir", "path": "somewhere", "instruction": "IE"}
    model = {"source": "folder", "path": "model", "family": "chatml"}
    config = {
        "collections": ["long", "short"],
        "models": ["a", "b"],
        "define": {
            "collections": {"long": entry | {"shards": 2, "relevance_level": 2}, "short": entry | {"titles": False}},
            "models": {
                "a": model | {"gpus": 2, "mem_mb": 100, "runtime": 7, "threads": 3},
                "b": model | {"query_span": "query_only"},
            },
        },
        "leave_out": [{"collections": ["long"], "models": ["b"], "because": "its context"}],
        "first_stage": {"depth": 10},
        "variants": {"grid": {"depth": 5, "queries": 3}, "last": {"strategy": "query_last"}},
        "layers": {
            "profile": ["RR@10", "nDCG@10"],
            "selection": {"peak": {"rule": "peak"}, "free": {"rule": "label-free"}},
        },
        "systems": {
            "cached_windows": SYSTEMS,
            "variant": "grid",
            "windows": ["selected-peak"],
            "frameworks": {"setwise": {"c": 3}},
            "mechanisms": {"likelihood": {}, "attention": {}},
            "sharded": True,
        },
        "latency": {"windows": ["all", "selected-free"]},
    }
    return paths_of(load_study(config | changes, BASE), BASE, Path("nowhere"))


def job(**names):
    return SimpleNamespace(**({"collection": "long", "model": "a"} | names))


@pytest.fixture
def two():
    return paths()


def test_words_of_a_command_line():
    assert named(["a b", "c"], ["x;y", "z"]) == ["a b=x;y", "c=z"]
    with pytest.raises(ValueError, match="zip"):
        named(["a"], [])
    assert flags({"query_span": "x y", "depth": 3, "none": None}) == ["--depth", "3", "--query-span", "x y"]
    assert as_json({"b": 1, "a": [2]}) == '{"a": [2], "b": 1}'


def test_every_pair_of_the_study_and_each_variant(two):
    assert two.ranking.variants == ("base", "grid", "last")
    assert two.every("<results>/{collection}/{model}/x") == [
        "<results>/long/a/x",
        "<results>/short/a/x",
        "<results>/short/b/x",
    ]
    found = two.every("{collection}/{model}/{variant}.{n}", ["base", "grid"], n=["1", "2"])
    assert found[:4] == ["long/a/base.1", "long/a/base.2", "long/a/grid.1", "long/a/grid.2"]
    assert len(found) == 12


def test_the_report_shows_the_base_and_the_grid_and_the_rest_is_sensitivity(two):
    assert two.evaluation.shown == ("base", "grid")
    assert two.evaluation.sensitivity == {"last": {"strategy": "query_last"}}
    assert paths(systems={}).evaluation.shown == ("base",)


def test_signals_by_shard_where_variants_that_score_otherwise_share_one(two):
    folder = "<results>/long/a/attention"
    assert two.attention.signal(job(variant="last")) == [f"{folder}/base.shard-{i}-of-2.arrow" for i in (0, 1)]
    assert two.attention.signal(job()) == two.attention.signal(job(variant="base"))
    assert two.attention.signal(job(collection="short", variant="grid")) == [
        "<results>/short/a/attention/grid.shard-0-of-1.arrow"
    ]
    assert set(two.attention.signals) == {
        *two.attention.signal(job()),
        *two.attention.signal(job(variant="grid")),
        *(f"<results>/short/{model}/attention/{v}.shard-0-of-1.arrow" for model in "ab" for v in ("base", "grid")),
    }


def test_what_a_model_asks_for(two):
    assert (
        two.models.gpus(job()),
        two.models.threads(job()),
        two.models.memory(job(), 3),
        two.models.runtime(job(), 2),
    ) == (2, 3, 300, 14)
    assert (two.models.gpus(job(model="b")), two.models.memory(job(model="b"), 1)) == (0, 8000)


def test_flags_of_candidates_and_prompts(two):
    assert two.collections.candidates(job(variant="base")) == flags(
        {"depth": 10, "order": "first-stage", "seed": 42, "titles": "true", "words": 300}
    )
    grid = two.collections.candidates(job(collection="short", variant="grid"))
    assert grid[grid.index("--titles") + 1] == "false"
    assert grid[grid.index("--query-limit") :][:4] == ["--query-limit", "3", "--query-seed", "42"]
    assert two.attention.prompt(job(model="b")) == flags(
        {"dtype": "float32", "family": "chatml", "instruction": "IE", "query_span": "query_only"}
    )
    assert two.collections.queries(job()) == ["--seed", "42"]
    fewer = paths(queries={"limit": 7, "fewer": {"long": 6}})
    assert fewer.collections.queries(job()) == ["--query-limit", "6", "--seed", "42"]
    assert fewer.collections.queries(job(collection="short")) == ["--query-limit", "7", "--seed", "42"]


def test_windows_that_are_chosen_and_timed(two):
    assert two.layers.selections_of(job()) == [f"<results>/long/a/windows/{name}.json" for name in ("peak", "free")]
    assert two.layers.rule(job(selection="free")) == '{"criterion": "agreement", "rule": "label-free"}'
    assert two.layers.measures == ["nDCG@10", "RR@10"]
    files = two.latency.selections(job())
    assert files == ["<results>/long/a/windows/free.json"]
    assert two.latency.of_selections(job(), SimpleNamespace(selections=files)) == ["--selections", f"free={files[0]}"]
    assert paths(latency={}).latency.of_selections(job(), SimpleNamespace(selections=[])) == []


RULES = {
    "core": {"rule": "core", "top": 4},
    "deep": {"rule": "core", "top": 8, "window": "selected-peak", "chosen_on": "others"},
    "steady": {"rule": "measure", "orders": "all"},
}


LINEAR = {"strategy": "NA_calibration", "selection": {"peak": {"rule": "peak"}, "free": {"rule": "label-free"}}}


def test_heads_that_are_scored_chosen_and_timed():
    own = paths(
        heads={"selection": RULES},
        orders={"reversed": True, "shuffles": 0},
        latency={"windows": ["heads-core", "selected-free", "all"]},
        leave_out=[],
    )
    deep, steady, folder = job(heads="deep"), job(heads="steady"), "<results>/long/a/heads"
    assert own.heads.scores(deep) == own.heads.scores(job(heads="core")) == f"{folder}/core.scores.arrow"
    assert own.heads.scores(steady) == f"{folder}/steady.scores.arrow"
    assert own.heads.other_scores(deep) == ["<results>/short/a/heads/core.scores.arrow"]
    assert own.heads.of_others(deep, SimpleNamespace(others=["x"])) == ["short=x"]
    assert own.heads.within(deep) == ["<results>/long/a/windows/peak.json"]
    assert own.heads.within_flags(deep, SimpleNamespace(within=["w"])) == ["--within", "w"]
    assert (own.heads.other_scores(steady), own.heads.within(steady)) == ([], [])
    assert own.heads.scoring(deep) == own.heads.scoring(job(heads="core")) and "top" not in own.heads.scoring(deep)
    signals = own.heads.order_signals(steady)
    assert own.heads.order_signals(deep) == [] and signals == own.orders.signals(job())
    flagged = own.heads.of_orders(steady, SimpleNamespace(orders=signals))
    assert flagged[:2] == ["--orders", f"base={signals[0]}"] and flagged[-1].startswith("order-reversed=")
    run = job(variant="base", system="listwise-attention-heads-deep")
    assert own.ranking.selection(run) == [f"{folder}/deep.json"]
    assert own.ranking.window(run, SimpleNamespace(selection=own.ranking.selection(run))) == flags(
        {"window": "heads-deep", "selection": f"{folder}/deep.json"}
    )
    files = own.latency.selections(job())
    assert files == [f"{folder}/core.json", "<results>/long/a/windows/free.json"]
    flagged = own.latency.of_selections(job(), SimpleNamespace(selections=files))
    assert flagged == ["--selections", f"heads-core={files[0]}", f"free={files[1]}"]
    assert json.loads(own.models.asked)["top"] == {
        "heads.selection.core.top": [4, "all"],
        "heads.selection.deep.top": [8, "all"],
        "heads.selection.steady.top": [8, "all"],
    }
    assert "top" not in json.loads(paths().models.asked)
    ranked = [f"{folder}/{name}.ranked.json" for name in RULES]
    of_ranked = own.head_sets.of_ranked(job(), SimpleNamespace(ranked=ranked * 4))
    assert own.heads.ranked(job()) == ranked and of_ranked[:1] == [f"a={ranked[0]}"]
    assert own.head_sets.transferred == [f"<results>/tables/heads/transfer.{model}.tsv" for model in "ab"]
    assert (
        len(own.head_sets.carried_heads(job())) == 2 * len(RULES)
        and own.head_sets.carried_heads(job())[0] == f"{folder}/core.json"
    )
    carried = own.head_sets.carried_signals(job())
    assert [
        word.partition("=")[0] for word in own.head_sets.of_carried_signals(job(), SimpleNamespace(signals=carried))
    ] == [
        *("long", "long", "short"),
    ]
    assert own.head_sets.compared and not paths().head_sets.compared and not paths().head_sets.transferred
    assert not any("heads-" in window for window in own.orders.windows)
    linear = paths(heads={"selection": RULES}, orders={"reversed": True}, leave_out=[], layers=LINEAR)
    assert linear.orders.heads(job()) == own.heads.chosen(job()) and own.orders.heads(job()) == []


def test_heads_in_several_dtypes():
    """Rules that read other orders have them in the base's dtype alone, as has whatever changes more than the dtype."""
    variants = {"half": {"dtype": "float16"}, "few": {"dtype": "bfloat16", "queries": 2}, "same": {"dtype": "float16"}}
    own = paths(
        heads={"selection": RULES}, orders={"reversed": True}, leave_out=[], variants=variants | {"grid": {"depth": 5}}
    )
    folder = "<results>/long/a/heads"
    names = [f"{folder}{of}/{rule}.ranked.json" for of in ("", "/half") for rule in ("core", "deep")]
    assert own.heads.rules_in_dtypes == ("core", "deep") and own.head_sets.in_dtypes[:4] == names
    assert len(own.head_sets.in_dtypes) == 4 * len(names)
    said = own.head_sets.of_dtypes(job(), SimpleNamespace(dtypes=own.head_sets.in_dtypes))
    assert said[:2] == ["--dtypes", f"a/float32={names[0]}"] and said[3] == f"a/float16={names[2]}"
    half = job(variant="half", heads="deep")
    assert own.heads.scores(half) == f"{folder}/half/core.scores.arrow"
    assert own.heads.other_scores(half) == ["<results>/short/a/heads/half/core.scores.arrow"]
    assert own.attention.signal(half)[0] == "<results>/long/a/attention/half.shard-0-of-2.arrow"
    one = paths(heads={"selection": RULES}, orders={"reversed": True}, leave_out=[])
    assert one.head_sets.in_dtypes == [] == one.head_sets.of_dtypes(job(), SimpleNamespace(dtypes=[]))


def test_windows_from_other_collections():
    away = paths(
        leave_out=[], layers={"selection": {"away": {"rule": "best", "chosen_on": "others"}}}, systems={}, latency={}
    )
    names = job(selection="away")
    assert away.layers.other_sweeps(names) == ["<results>/short/a/layers/sweep.arrow"]
    assert away.layers.of_others(names, SimpleNamespace(others=["x"])) == ["short=x"]


def test_windows_are_carried_where_there_is_more_than_one(two):
    assert two.transfer.names == ["collection.short", "model.a"]
    of_model, of_collection = job(kind="model", fixed="a"), job(kind="collection", fixed="short")
    assert two.transfer.sweeps(of_model) == [f"<results>/{name}/a/layers/sweep.arrow" for name in ("long", "short")]
    assert two.transfer.of_sweeps(of_model, SimpleNamespace(sweeps=["x", "y"])) == ["long=x", "short=y"]
    assert two.transfer.of_sweeps(of_collection, SimpleNamespace(sweeps=["x", "y"])) == ["a=x", "b=y"]
    assert two.transfer.selections(of_collection) == [f"<results>/short/{name}/windows/free.json" for name in "ab"]
    assert two.transfer.of_selections(of_model, SimpleNamespace(selections=["x", "y"])) == ["long=x", "short=y"]
    assert (two.transfer.same(of_model), two.transfer.same(of_collection)) == ([], ["--same-collection"])


def test_a_system_and_what_it_is_made_of(two):
    names = job(variant="grid", system="setwise-attention-selected-peak")
    assert two.ranking.selection(names) == ["<results>/long/a/windows/peak.json"]
    assert two.ranking.window(names, SimpleNamespace(selection=["a b"])) == flags(
        {"window": "selected-peak", "selection": "a b"}
    )
    assert two.ranking.framework(names) == ["--framework", "setwise", "--framework-settings", '{"c": 3}']
    assert two.ranking.mechanism(names)[:2] == ["--mechanism", "attention"]
    assert "masked_NA_calibration" in two.ranking.mechanism_settings(names)
    likelihood = job(variant="grid", system="setwise-likelihood")
    assert (two.ranking.selection(likelihood), two.ranking.window(likelihood, SimpleNamespace(selection=[]))) == (
        [],
        [],
    )


def test_runs_and_costs_of_a_variant(two):
    names = job(variant="grid")
    systems = [f"listwise-attention-{window}" for window in SYSTEMS]
    systems += ["setwise-likelihood", "setwise-attention-selected-peak"]
    assert two.evaluation.runs(names) == [f"<results>/long/a/runs/grid/{system}.txt" for system in systems]
    assert two.evaluation.costs(names)[0] == "<results>/long/a/runs/grid/listwise-attention-all.costs.jsonl"
    assert two.evaluation.of_runs(job(variant="base"), SimpleNamespace(runs=list("xyz"))) == named(systems[:3], "xyz")
    assert two.evaluation.of_costs(job(variant="base"), SimpleNamespace(costs=list("xyz"))) == named(systems[:3], "xyz")


def test_a_system_is_ranked_by_one_rule_in_the_variants_that_run_it(two):
    def made(variant, system):
        path = f"results/long/a/runs/{variant}/{system}.txt"
        return [
            cached for cached in (True, False) if re.search(rf"/{two.ranking.systems_where(cached=cached)}\.txt$", path)
        ]

    assert made("base", "listwise-attention-all") == made("grid", "listwise-attention-all") == [True]
    assert made("grid", "setwise-likelihood") == [False]
    assert made("base", "setwise-likelihood") == made("grid", "setwise-attention-all") == []
    assert one_of(["a.b", "c"]) == r"(?:a\.b|c)"
    assert not re.search(one_of([]), "a")


def test_parts_of_a_run(two):
    assert two.ranking.parts("txt")(job()) == [
        f"<results>/{{collection}}/{{model}}/runs/{{variant}}/{{system}}.shard-{i}-of-2.txt" for i in (0, 1)
    ]
    assert two.ranking.shard(job(shard="1", shards="2")) == ["--shard", "1", "--shards", "2"]
    assert two.ranking.shard(job()) == []
    assert (two.ranking.failures_allowed(job(shard="1")), two.ranking.failures_allowed(job())) == (1.0, 0.2)
    assert (two.ranking.collections_where(sharded=True), two.ranking.collections_where(sharded=False)) == (
        "(?:long)",
        "(?:short)",
    )
    assert not re.search(paths(systems={}).ranking.collections_where(sharded=True), "long")


def test_what_the_report_holds(two):
    assert [Path(path).stem for path in two.report.answers] == ["where", "windows", "choice", "mechanisms", "caveats"]
    assert "<results>/tables/grid.html" in two.report.tables
    assert "<results>/tables/transfer/model.a.html" in two.report.tables
    assert "<results>/figures/short/b/latency.svg" in two.report.figures
    bare = paths(variants={}, systems={}, latency={})
    assert [Path(path).stem for path in bare.report.answers] == ["where", "windows", "choice", "caveats"]
    assert not {"<results>/tables/grid.html", "<results>/tables/sensitivity.html"} & set(bare.report.tables)
    assert not any("latency" in path for path in bare.report.figures)


def test_report_items_carry_their_caption_and_wildcards(two):
    svg, pdf = two.items.figure("{collection}/{model}/sweep", "sweep", "3. Windows", "by window")
    assert (svg, pdf) == tuple(f"<results>/figures/{{collection}}/{{model}}/sweep.{end}" for end in ("svg", "pdf"))
    about = svg.flags["report"]
    assert Path(about.caption).is_file()
    assert about.labels == {"item": "by window", "collection": "{collection}", "model": "{model}"}
    alone = paths(collections=["long"], models=["a"], leave_out=[]).items.figure(
        "{collection}/{model}/sweep", "sweep", "3", "by"
    )
    assert alone[0].flags["report"].labels == {"item": "by"}, "one collection and one model need no columns"
    assert "report" not in pdf.flags
    data, page, *others = two.items.table("transfer/{kind}.{fixed}", "transfer_table", "3. Windows", "regret")
    assert [item.flags["report"].labels["item"] for item in (data, page)] == ["regret: data", "regret: table"]
    assert data.flags["report"].labels["within"] == "{kind} {fixed}"
    assert [Path(other).suffix for other in others] == [".tex", ".md"]
    assert two.items.answer("where", "2").flags["report"].caption.endswith("answer_where.rst")


def test_the_explorer_shows_orders_of_the_same_candidates(two):
    changed = {"reordered": {"order": "reversed"}, "order-shuffled": {"order": "shuffled", "seed": 3, "queries": 5}}
    config = two.study.config | {
        "variants": {**changed, "shorter": {"order": "reversed", "words": 5}, "scored": {"strategy": "query_last"}},
        "explorer": {"queries": 2, "chosen": "changed"},
    }
    paths = paths_of(replace(two.study, config=config), BASE, two.models.cache)
    assert paths.explorer.orders == {"base": "first-stage", "reordered": "reordered", "order-shuffled": "shuffled"}
    assert paths.explorer.pages == two.every("<results>/explorer/{collection}/{model}.html")
    off = replace(two.study, config=config | {"explorer": {"queries": 0, "chosen": "changed"}})
    assert paths_of(off, BASE, two.models.cache).explorer.pages == []


def test_tokens_of_na_are_kept_of_the_order_that_a_page_shows(two):
    def kept(variant, **explorer):
        study = replace(two.study, config=two.study.config | {"explorer": two.study.config["explorer"] | explorer})
        return "--na-tokens" in paths_of(study, BASE, two.models.cache).attention.parts(
            SimpleNamespace(variant=variant)
        )

    assert kept("base") and not kept("grid")
    assert not kept("base", tokens="calibrated") and not kept("base", queries=0)


def test_masked_sums_are_kept_unless_the_study_says_otherwise(two):
    def of(**heads):
        study = replace(two.study, config=two.study.config | {"heads": two.study.config["heads"] | heads})
        return paths_of(study, BASE, two.models.cache)

    grid = SimpleNamespace(variant="grid")
    assert of().attention.parts(grid) == [] and of().head_sets.strategy == "masked_NA_calibration"
    assert of(masked=False).attention.parts(grid) == ["--no-masked"]
    assert of(masked=False).head_sets.strategy == "NA_calibration"


def test_published_figures_are_shown_where_there_are_some(two):
    assert not two.report.has_published and not any("published" in path for path in two.report.tables)
    study = paths(collections=["bright-theoremqa-theorems"], models=["qwen3-0.6b"], leave_out=[], passages={})
    assert study.report.has_published and any("published" in path for path in study.report.tables)


def test_folds_and_queries_that_a_study_names_are_asked_of_each_collection():
    changes = {
        "layers": {
            "selection": {
                "many": {"rule": "peak", "folds": 9},
                "few": {"rule": "best"},
                "given": {"rule": "fixed", "window": "1-2"},
                "oracle": {"rule": "oracle"},
            }
        },
        "heads": {"selection": {"core": {"rule": "core", "folds": 4}, "oracle": {"rule": "oracle"}}},
        "explorer": {"chosen": ["q1", "q2"]},
        "systems": {},
        "latency": {},
    }
    found = paths(**changes)
    assert json.loads(found.collections.asked) == {
        "folds": {"layers.selection.many.folds": 9, "layers.selection.few.folds": 2, "heads.selection.core.folds": 4},
        "queries": {"explorer.chosen": ["q1", "q2"]},
    }
    assert len(found.checks) == len(found.study.collections) + len(found.study.models)
    assert json.loads(paths(explorer={"chosen": ["q1"], "queries": 0}).collections.asked)["queries"] == {
        "explorer.chosen": []
    }


def test_titles_say_labels_where_there_are_some():
    found = paths()
    assert found.items.title(job(collection="short", model="a")) == "a on short"
    found.study.models["a"]["label"], found.study.collections["short"]["label"] = "Model A", "A $short$ one"
    assert found.items.title(job(collection="short", model="a")) == "Model A on A $short$ one"
    assert found.items.title(job(collection="short", model="b")) == "b on A $short$ one"


def test_a_study_without_rules_has_no_table_of_them():
    found = paths(layers={}, systems={}, latency={})
    assert not [path for path in found.report.tables if "selection" in path]
    assert [path for path in paths().report.tables if "selection" in path]
