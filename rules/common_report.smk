# What the report shows: its categories, the outputs of figures and tables, and which of them a study has. No rules.

EFFECTIVENESS = "1. Effectiveness"
EMERGENCE = "2. Where relevance emerges"
WINDOWS = "3. Window choice"
COST = "4. Cost"
DIAGNOSTICS = "5. Diagnostics"

# Models with more than one collection, and collections with more than one model, between which windows can be carried.
TRANSFERRED = [
    f"{kind}.{name}"
    for place, kind in enumerate(("collection", "model"))
    for name in dict.fromkeys(pair[place] for pair in STUDY.pairs)
    if sum(pair[place] == name for pair in STUDY.pairs) > 1
]


def labels_of(path, label):
    """What the report's list says of an item: what it is, and the wildcards of its path."""
    names = [
        name for name in ("collection", "model", "variant") if f"{{{name}}}" in path
    ]
    within = {"within": "{kind} {fixed}"} if "{fixed}" in path else {}
    return {"item": label, **{name: f"{{{name}}}" for name in names}, **within}


def figure(path, caption, category, label):
    """Outputs of a figure's rule: the SVG stands in the report, the PDF beside it."""
    shown = {
        "caption": f"../workflow/report/{caption}.rst",
        "category": category,
        "labels": labels_of(path, label),
    }
    return {
        "svg": report(f"<results>/figures/{path}.svg", **shown),
        "pdf": f"<results>/figures/{path}.pdf",
    }


def study_figures():
    """Every figure of the report."""
    shown = every(
        "<results>/figures/{collection}/{model}/{figure}.svg",
        figure=["profile", "sweep", "neighbours", "diagnostics"]
        + ["latency"] * bool(CONFIG["latency"]["windows"]),
    )
    shown += every("<results>/figures/{collection}/{model}/pareto.{variant}.svg", SHOWN)
    shown += expand("<results>/figures/effectiveness.{variant}.svg", variant=SHOWN)
    shown += expand("<results>/figures/transfer/{name}.svg", name=TRANSFERRED)
    return [*shown, "<results>/figures/depth.svg"]


def table(path, caption, category, label):
    """Outputs of a table's rule: it goes into the report twice, as data and as a page."""
    shown = {"caption": f"../workflow/report/{caption}.rst", "category": category}
    return {
        "tsv": report(
            f"<results>/tables/{path}.tsv",
            labels=labels_of(path, f"{label}: data"),
            **shown,
        ),
        "html": report(
            f"<results>/tables/{path}.html",
            labels=labels_of(path, f"{label}: table"),
            **shown,
        ),
        "tex": f"<results>/tables/{path}.tex",
        "md": f"<results>/tables/{path}.md",
    }


def answer(name, category):
    """Output of a rule that answers one of the study's questions on a page."""
    return report(
        f"<results>/answers/{name}.html",
        caption=f"../workflow/report/answer_{name}.rst",
        category=category,
        labels={"item": "the answer"},
    )


def study_answers():
    """The page of each question, where the study has what it needs."""
    names = ["where", "windows"] + ["mechanisms"] * bool(
        CONFIG["systems"]["frameworks"]
    )
    return expand("<results>/answers/{name}.html", name=names)


def named(paths):
    """`collection/model=file` of each path of results."""
    return " ".join(f"{cell_of(path)}={path}" for path in paths)


def named_shapes(wildcards, input):
    return named(input.shapes)


def named_latencies(wildcards, input):
    return named(input.latencies)


def answer_tests(wildcards):
    """How an answer's differences are tested."""
    tests = CONFIG["evaluation"]
    return (
        f"--test {tests['test']} --alpha {tests['alpha']}"
        f" --seed {tests['seed']} --resamples {tests['resamples']}"
    )


def study_tables():
    """Every table of the report."""
    names = [
        f"{table}.{variant}"
        for table in ("effectiveness", "comparison")
        for variant in SHOWN
    ]
    names += ["shape", "selection", "costs", "outcomes", "diagnostics", "published"]
    names += ["grid"] * bool(CONFIG["systems"]["frameworks"]) + ["sensitivity"] * bool(
        SENSITIVITY
    )
    names += [f"transfer/{name}" for name in TRANSFERRED]
    return expand("<results>/tables/{name}.html", name=names)


def named_selections(wildcards, input):
    return named(input)


def named_profiles(wildcards, input):
    return named(input.profiles)


def cell_of(path):
    """`collection/model` of a file of results."""
    return Path(*Path(path).relative_to(CONFIG["results"]).parts[:2]).as_posix()


def study_settings():
    """The configuration with its defaults, and the catalogue entries that it names."""
    return as_json(
        {"config": CONFIG, "collections": STUDY.collections, "models": STUDY.models}
    )


def described_collections(wildcards, input):
    return " ".join(
        f"{name}={path}" for name, path in zip(COLLECTIONS, input.collections)
    )


def described_models(wildcards, input):
    return " ".join(f"{name}={path}" for name, path in zip(MODELS, input.models))
