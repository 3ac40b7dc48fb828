"""Input functions and flags, on a study of two collections and two models of which one pair is left out."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from layerrank.study.load import load_study
from layerrank.study.paths import Paths, as_json, flags, named, one_of

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
    return Paths(load_study(config | changes, BASE), BASE, Path("nowhere"))


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
    assert two.variants == ("base", "grid", "last")
    assert two.every("<results>/{collection}/{model}/x") == [
        "<results>/long/a/x",
        "<results>/short/a/x",
        "<results>/short/b/x",
    ]
    found = two.every("{collection}/{model}/{variant}.{n}", ["base", "grid"], n=["1", "2"])
    assert found[:4] == ["long/a/base.1", "long/a/base.2", "long/a/grid.1", "long/a/grid.2"]
    assert len(found) == 12


def test_the_report_shows_the_base_and_the_grid_and_the_rest_is_sensitivity(two):
    assert two.shown == ("base", "grid")
    assert two.sensitivity == {"last": {"strategy": "query_last"}}
    assert paths(systems={}).shown == ("base",)


def test_signals_by_shard_where_variants_that_score_otherwise_share_one(two):
    folder = "<results>/long/a/attention"
    assert two.signal(job(variant="last")) == [f"{folder}/base.shard-{i}-of-2.arrow" for i in (0, 1)]
    assert two.signal(job()) == two.signal(job(variant="base"))
    assert two.signal(job(collection="short", variant="grid")) == [
        "<results>/short/a/attention/grid.shard-0-of-1.arrow"
    ]
    assert set(two.signals) == {
        *two.signal(job()),
        *two.signal(job(variant="grid")),
        *(f"<results>/short/{model}/attention/{v}.shard-0-of-1.arrow" for model in "ab" for v in ("base", "grid")),
    }


def test_what_a_model_asks_for(two):
    assert (two.gpus(job()), two.threads(job()), two.memory(job(), 3), two.runtime(job(), 2)) == (2, 3, 300, 14)
    assert (two.gpus(job(model="b")), two.memory(job(model="b"), 1)) == (0, 8000)


def test_flags_of_candidates_and_prompts(two):
    assert two.candidate_flags(job(variant="base")) == flags(
        {"depth": 10, "order": "first-stage", "seed": 42, "titles": "true", "words": 300}
    )
    grid = two.candidate_flags(job(collection="short", variant="grid"))
    assert grid[grid.index("--titles") + 1] == "false"
    assert grid[grid.index("--query-limit") :][:4] == ["--query-limit", "3", "--query-seed", "42"]
    assert two.prompt_flags(job(model="b")) == flags(
        {"dtype": "float32", "family": "chatml", "instruction": "IE", "query_span": "query_only"}
    )
    assert two.query_flags(job()) == ["--seed", "42"]
    fewer = paths(queries={"limit": 7, "fewer": {"long": 6}})
    assert fewer.query_flags(job()) == ["--query-limit", "6", "--seed", "42"]
    assert fewer.query_flags(job(collection="short")) == ["--query-limit", "7", "--seed", "42"]


def test_windows_that_are_chosen_and_timed(two):
    assert two.selections_of(job()) == [f"<results>/long/a/windows/{name}.json" for name in ("peak", "free")]
    assert two.selection_rule(job(selection="free")) == '{"criterion": "agreement", "rule": "label-free"}'
    assert two.profile_measures == ["nDCG@10", "RR@10"]
    files = two.latency_selections(job())
    assert files == ["<results>/long/a/windows/free.json"]
    assert two.latency_flags(job(), SimpleNamespace(selections=files)) == ["--selections", f"free={files[0]}"]
    assert paths(latency={}).latency_flags(job(), SimpleNamespace(selections=[])) == []


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
    assert own.head_scores(deep) == own.head_scores(job(heads="core")) == f"{folder}/core.scores.arrow"
    assert own.head_scores(steady) == f"{folder}/steady.scores.arrow"
    assert own.other_head_scores(deep) == ["<results>/short/a/heads/core.scores.arrow"]
    assert own.of_other_heads(deep, SimpleNamespace(others=["x"])) == ["short=x"]
    assert own.head_windows(deep) == ["<results>/long/a/windows/peak.json"]
    assert own.head_windows_flags(deep, SimpleNamespace(within=["w"])) == ["--within", "w"]
    assert (own.other_head_scores(steady), own.head_windows(steady)) == ([], [])
    assert own.head_scoring(deep) == own.head_scoring(job(heads="core")) and "top" not in own.head_scoring(deep)
    signals = own.head_orders(steady)
    assert own.head_orders(deep) == [] and signals == own.order_signals(job())
    flagged = own.head_orders_flags(steady, SimpleNamespace(orders=signals))
    assert flagged[:2] == ["--orders", f"base={signals[0]}"] and flagged[-1].startswith("order-reversed=")
    run = job(variant="base", system="listwise-attention-heads-deep")
    assert own.selection(run) == [f"{folder}/deep.json"]
    assert own.window_flags(run, SimpleNamespace(selection=own.selection(run))) == flags(
        {"window": "heads-deep", "selection": f"{folder}/deep.json"}
    )
    files = own.latency_selections(job())
    assert files == [f"{folder}/core.json", "<results>/long/a/windows/free.json"]
    flagged = own.latency_flags(job(), SimpleNamespace(selections=files))
    assert flagged == ["--selections", f"heads-core={files[0]}", f"free={files[1]}"]
    assert json.loads(own.asked)["top"] == {
        "heads.selection.core.top": [4, "all"],
        "heads.selection.deep.top": [8, "all"],
        "heads.selection.steady.top": [8, "all"],
    }
    assert "top" not in json.loads(paths().asked)
    ranked = [f"{folder}/{name}.ranked.json" for name in RULES]
    of_ranked = own.of_ranked_heads(job(), SimpleNamespace(ranked=ranked * 4))
    assert own.ranked_heads_of(job()) == ranked and of_ranked[:1] == [f"a={ranked[0]}"]
    assert own.transferred_heads == [f"<results>/tables/heads/transfer.{model}.tsv" for model in "ab"]
    assert len(own.carried_heads(job())) == 2 * len(RULES) and own.carried_heads(job())[0] == f"{folder}/core.json"
    carried = own.carried_signals(job())
    assert [word.partition("=")[0] for word in own.of_carried_signals(job(), SimpleNamespace(signals=carried))] == [
        *("long", "long", "short"),
    ]
    assert own.compared_heads and not paths().compared_heads and not paths().transferred_heads
    assert not any("heads-" in window for window in own.cached_windows)
    linear = paths(heads={"selection": RULES}, orders={"reversed": True}, leave_out=[], layers=LINEAR)
    assert linear.stored_heads(job()) == own.heads_of(job()) and own.stored_heads(job()) == []


def test_heads_in_several_dtypes():
    """Rules that read other orders have them in the base's dtype alone, as has whatever changes more than the dtype."""
    variants = {"half": {"dtype": "float16"}, "few": {"dtype": "bfloat16", "queries": 2}, "same": {"dtype": "float16"}}
    own = paths(
        heads={"selection": RULES}, orders={"reversed": True}, leave_out=[], variants=variants | {"grid": {"depth": 5}}
    )
    folder = "<results>/long/a/heads"
    names = [f"{folder}{of}/{rule}.ranked.json" for of in ("", "/half") for rule in ("core", "deep")]
    assert own.rules_in_dtypes == ("core", "deep") and own.heads_in_dtypes[:4] == names
    assert len(own.heads_in_dtypes) == 4 * len(names)
    said = own.of_heads_in_dtypes(job(), SimpleNamespace(dtypes=own.heads_in_dtypes))
    assert said[:2] == ["--dtypes", f"a/float32={names[0]}"] and said[3] == f"a/float16={names[2]}"
    half = job(variant="half", heads="deep")
    assert own.head_scores(half) == f"{folder}/half/core.scores.arrow"
    assert own.other_head_scores(half) == ["<results>/short/a/heads/half/core.scores.arrow"]
    assert own.signal(half)[0] == "<results>/long/a/attention/half.shard-0-of-2.arrow"
    one = paths(heads={"selection": RULES}, orders={"reversed": True}, leave_out=[])
    assert one.heads_in_dtypes == [] == one.of_heads_in_dtypes(job(), SimpleNamespace(dtypes=[]))


def test_windows_from_other_collections():
    away = paths(
        leave_out=[], layers={"selection": {"away": {"rule": "best", "chosen_on": "others"}}}, systems={}, latency={}
    )
    names = job(selection="away")
    assert away.other_sweeps(names) == ["<results>/short/a/layers/sweep.arrow"]
    assert away.of_others(names, SimpleNamespace(others=["x"])) == ["short=x"]


def test_windows_are_carried_where_there_is_more_than_one(two):
    assert two.transferred == ["collection.short", "model.a"]
    of_model, of_collection = job(kind="model", fixed="a"), job(kind="collection", fixed="short")
    assert two.transfer_sweeps(of_model) == [f"<results>/{name}/a/layers/sweep.arrow" for name in ("long", "short")]
    assert two.of_transfer_sweeps(of_model, SimpleNamespace(sweeps=["x", "y"])) == ["long=x", "short=y"]
    assert two.of_transfer_sweeps(of_collection, SimpleNamespace(sweeps=["x", "y"])) == ["a=x", "b=y"]
    assert two.transfer_selections(of_collection) == [f"<results>/short/{name}/windows/free.json" for name in "ab"]
    assert two.of_transfer_selections(of_model, SimpleNamespace(selections=["x", "y"])) == ["long=x", "short=y"]
    assert (two.transfer_flags(of_model), two.transfer_flags(of_collection)) == ([], ["--same-collection"])


def test_a_system_and_what_it_is_made_of(two):
    names = job(variant="grid", system="setwise-attention-selected-peak")
    assert two.selection(names) == ["<results>/long/a/windows/peak.json"]
    assert two.window_flags(names, SimpleNamespace(selection=["a b"])) == flags(
        {"window": "selected-peak", "selection": "a b"}
    )
    assert two.framework(names) == ["--framework", "setwise", "--framework-settings", '{"c": 3}']
    assert two.mechanism(names)[:2] == ["--mechanism", "attention"]
    assert "masked_NA_calibration" in two.mechanism_settings(names)
    likelihood = job(variant="grid", system="setwise-likelihood")
    assert (two.selection(likelihood), two.window_flags(likelihood, SimpleNamespace(selection=[]))) == ([], [])


def test_runs_and_costs_of_a_variant(two):
    names = job(variant="grid")
    systems = [f"listwise-attention-{window}" for window in SYSTEMS]
    systems += ["setwise-likelihood", "setwise-attention-selected-peak"]
    assert two.runs(names) == [f"<results>/long/a/runs/grid/{system}.txt" for system in systems]
    assert two.costs(names)[0] == "<results>/long/a/runs/grid/listwise-attention-all.costs.jsonl"
    assert two.of_runs(job(variant="base"), SimpleNamespace(runs=list("xyz"))) == named(systems[:3], "xyz")
    assert two.of_costs(job(variant="base"), SimpleNamespace(costs=list("xyz"))) == named(systems[:3], "xyz")


def test_a_system_is_ranked_by_one_rule_in_the_variants_that_run_it(two):
    def made(variant, system):
        path = f"results/long/a/runs/{variant}/{system}.txt"
        return [cached for cached in (True, False) if re.search(rf"/{two.systems_where(cached=cached)}\.txt$", path)]

    assert made("base", "listwise-attention-all") == made("grid", "listwise-attention-all") == [True]
    assert made("grid", "setwise-likelihood") == [False]
    assert made("base", "setwise-likelihood") == made("grid", "setwise-attention-all") == []
    assert one_of(["a.b", "c"]) == r"(?:a\.b|c)"
    assert not re.search(one_of([]), "a")


def test_parts_of_a_run(two):
    assert two.parts("txt")(job()) == [
        f"<results>/{{collection}}/{{model}}/runs/{{variant}}/{{system}}.shard-{i}-of-2.txt" for i in (0, 1)
    ]
    assert two.shard_flags(job(shard="1", shards="2")) == ["--shard", "1", "--shards", "2"]
    assert two.shard_flags(job()) == []
    assert (two.failures_allowed(job(shard="1")), two.failures_allowed(job())) == (1.0, 0.2)
    assert (two.collections_where(sharded=True), two.collections_where(sharded=False)) == ("(?:long)", "(?:short)")
    assert not re.search(paths(systems={}).collections_where(sharded=True), "long")


def test_what_the_report_holds(two):
    assert [Path(path).stem for path in two.answers] == ["where", "windows", "choice", "mechanisms", "caveats"]
    assert "<results>/tables/grid.html" in two.tables
    assert "<results>/tables/transfer/model.a.html" in two.tables
    assert "<results>/figures/short/b/latency.svg" in two.figures
    bare = paths(variants={}, systems={}, latency={})
    assert [Path(path).stem for path in bare.answers] == ["where", "windows", "choice", "caveats"]
    assert not {"<results>/tables/grid.html", "<results>/tables/sensitivity.html"} & set(bare.tables)
    assert not any("latency" in path for path in bare.figures)


def test_report_items_carry_their_caption_and_wildcards(two):
    svg, pdf = two.figure("{collection}/{model}/sweep", "sweep", "3. Windows", "by window")
    assert (svg, pdf) == tuple(f"<results>/figures/{{collection}}/{{model}}/sweep.{end}" for end in ("svg", "pdf"))
    about = svg.flags["report"]
    assert Path(about.caption).is_file()
    assert about.labels == {"item": "by window", "collection": "{collection}", "model": "{model}"}
    alone = paths(collections=["long"], models=["a"], leave_out=[]).figure(
        "{collection}/{model}/sweep", "sweep", "3", "by"
    )
    assert alone[0].flags["report"].labels == {"item": "by"}, "one collection and one model need no columns"
    assert "report" not in pdf.flags
    data, page, *others = two.table("transfer/{kind}.{fixed}", "transfer_table", "3. Windows", "regret")
    assert [item.flags["report"].labels["item"] for item in (data, page)] == ["regret: data", "regret: table"]
    assert data.flags["report"].labels["within"] == "{kind} {fixed}"
    assert [Path(other).suffix for other in others] == [".tex", ".md"]
    assert two.answer("where", "2").flags["report"].caption.endswith("answer_where.rst")


def test_the_explorer_shows_orders_of_the_same_candidates(two):
    changed = {"reordered": {"order": "reversed"}, "order-shuffled": {"order": "shuffled", "seed": 3, "queries": 5}}
    config = two.study.config | {
        "variants": {**changed, "shorter": {"order": "reversed", "words": 5}, "scored": {"strategy": "query_last"}},
        "explorer": {"queries": 2, "chosen": "changed"},
    }
    paths = Paths(replace(two.study, config=config), BASE, two.cache)
    assert paths.explored_orders == {"base": "first-stage", "reordered": "reordered", "order-shuffled": "shuffled"}
    assert paths.explorers == two.every("<results>/explorer/{collection}/{model}.html")
    off = replace(two.study, config=config | {"explorer": {"queries": 0, "chosen": "changed"}})
    assert Paths(off, BASE, two.cache).explorers == []


def test_tokens_of_na_are_kept_of_the_order_that_a_page_shows(two):
    def kept(variant, **explorer):
        study = replace(two.study, config=two.study.config | {"explorer": two.study.config["explorer"] | explorer})
        return "--na-tokens" in Paths(study, BASE, two.cache).signal_parts(SimpleNamespace(variant=variant))

    assert kept("base") and not kept("grid")
    assert not kept("base", tokens="calibrated") and not kept("base", queries=0)


def test_masked_sums_are_kept_unless_the_study_says_otherwise(two):
    def of(**heads):
        study = replace(two.study, config=two.study.config | {"heads": two.study.config["heads"] | heads})
        return Paths(study, BASE, two.cache)

    grid = SimpleNamespace(variant="grid")
    assert of().signal_parts(grid) == [] and of().head_strategy == "masked_NA_calibration"
    assert of(masked=False).signal_parts(grid) == ["--no-masked"]
    assert of(masked=False).head_strategy == "NA_calibration"


def test_published_figures_are_shown_where_there_are_some(two):
    assert not two.has_published and not any("published" in path for path in two.tables)
    study = paths(collections=["bright-theoremqa-theorems"], models=["qwen3-0.6b"], leave_out=[], passages={})
    assert study.has_published and any("published" in path for path in study.tables)


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
    assert json.loads(found.asked_queries) == {
        "folds": {"layers.selection.many.folds": 9, "layers.selection.few.folds": 2, "heads.selection.core.folds": 4},
        "queries": {"explorer.chosen": ["q1", "q2"]},
    }
    assert len(found.checks) == len(found.study.collections) + len(found.study.models)
    assert json.loads(paths(explorer={"chosen": ["q1"], "queries": 0}).asked_queries)["queries"] == {
        "explorer.chosen": []
    }


def test_titles_say_labels_where_there_are_some():
    found = paths()
    assert found.title(job(collection="short", model="a")) == "a on short"
    found.study.models["a"]["label"], found.study.collections["short"]["label"] = "Model A", "A $short$ one"
    assert found.title(job(collection="short", model="a")) == "Model A on A $short$ one"
    assert found.title(job(collection="short", model="b")) == "b on A $short$ one"


def test_a_study_without_rules_has_no_table_of_them():
    found = paths(layers={}, systems={}, latency={})
    assert not [path for path in found.tables if "selection" in path]
    assert [path for path in paths().tables if "selection" in path]
