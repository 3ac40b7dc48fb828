# What stages that choose and time windows depend on. No rules.


def layer_measure(wildcards):
    """The measure that windows are chosen by."""
    return CONFIG["layers"]["measure"]


def profile_measures(wildcards):
    """The measure that windows are chosen by, then those that are profiled beside it."""
    names = dict.fromkeys([CONFIG["layers"]["measure"], *CONFIG["layers"]["profile"]])
    return " ".join(shlex.quote(name) for name in names)


def selections_of(wildcards):
    """Files of every selection rule, for one collection and model."""
    folder = f"<results>/{wildcards.collection}/{wildcards.model}/windows"
    return [f"{folder}/{name}.json" for name in SELECTIONS]


def base_signal(wildcards):
    return signal_of(wildcards.collection, wildcards.model, "base")


def rule_settings(wildcards):
    return as_json(CONFIG["layers"]["selection"][wildcards.selection])


def other_collections(wildcards):
    """The other collections of the study on which the window is chosen."""
    return study_config.chosen_on(
        STUDY, wildcards.selection, wildcards.collection, wildcards.model
    )


def other_sweeps(wildcards):
    return [
        f"<results>/{name}/{wildcards.model}/layers/sweep.arrow"
        for name in other_collections(wildcards)
    ]


def other_flags(wildcards, input):
    pairs = zip(other_collections(wildcards), input.others)
    return " ".join(f"{name}={sweep}" for name, sweep in pairs)


def transfer_pairs(wildcards):
    """Where windows are carried: between the collections of a model, or between the models of a collection.

    Returns pairs of a collection and a model, with the name of what differs.
    """
    of_model = wildcards.kind == "model"
    return [
        (collection, model, collection if of_model else model)
        for collection, model in STUDY.pairs
        if wildcards.fixed == (model if of_model else collection)
    ]


def transfer_sweeps(wildcards):
    return [
        f"<results>/{collection}/{model}/layers/sweep.arrow"
        for collection, model, _ in transfer_pairs(wildcards)
    ]


def named_transfer_sweeps(wildcards, input):
    names = [name for _, _, name in transfer_pairs(wildcards)]
    return " ".join(f"{name}={sweep}" for name, sweep in zip(names, input.sweeps))


def label_free_rules():
    """Rules that need no judgements, which stand in the same matrix."""
    rules = CONFIG["layers"]["selection"]
    return [name for name in rules if rules[name]["rule"] == "label-free"]


def transfer_selections(wildcards):
    return [
        f"<results>/{collection}/{model}/windows/{rule}.json"
        for collection, model, _ in transfer_pairs(wildcards)
        for rule in label_free_rules()
    ]


def named_transfer_selections(wildcards, input):
    names = [
        name for _, _, name in transfer_pairs(wildcards) for _ in label_free_rules()
    ]
    return " ".join(f"{name}={path}" for name, path in zip(names, input.selections))


def latency_selections(wildcards):
    """Files of the selected windows that are timed."""
    rules = [
        w.removeprefix("selected-")
        for w in CONFIG["latency"]["windows"]
        if w.startswith("selected-")
    ]
    return [
        f"<results>/{wildcards.collection}/{wildcards.model}/windows/{rule}.json"
        for rule in rules
    ]


def named_latency_selections(wildcards, input):
    named = " ".join(f"{Path(path).stem}={path}" for path in input.selections)
    return f"--selections {named}" if named else ""
