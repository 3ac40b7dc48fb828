# What runs depend on: a system's settings, its window, its parts. No rules.

# Collections whose online cells run as several jobs.
SHARDED = [
    name for name in COLLECTIONS if CONFIG["systems"]["sharded"] and shards_of(name) > 1
]


def shard_flags(wildcards):
    """Which part of the queries a job ranks."""
    if not hasattr(wildcards, "shard"):
        return ""
    return f"--shard {wildcards.shard} --shards {wildcards.shards}"


def failures_allowed(wildcards):
    """Share of answers that may fail: of a whole run, which parts are not judged by."""
    return 1.0 if hasattr(wildcards, "shard") else CONFIG["systems"]["max_failure_rate"]


def shards_of_run(wildcards, ending):
    n = shards_of(wildcards.collection)
    folder = "<results>/{collection}/{model}/runs/{variant}"
    return [f"{folder}/{{system}}.shard-{i}-of-{n}.{ending}" for i in range(n)]


def shard_runs(wildcards):
    return shards_of_run(wildcards, "txt")


def shard_costs(wildcards):
    return shards_of_run(wildcards, "costs.jsonl")


def system_of(wildcards):
    return SYSTEMS[wildcards.variant][wildcards.system]


def cost_files(wildcards):
    """Costs of every system of a collection, model and variant."""
    folder = (
        f"<results>/{wildcards.collection}/{wildcards.model}/runs/{wildcards.variant}"
    )
    return [f"{folder}/{name}.costs.jsonl" for name in SYSTEMS[wildcards.variant]]


def cost_flags(wildcards, input):
    return " ".join(
        f"{Path(file).name.removesuffix('.costs.jsonl')}={file}" for file in input.costs
    )


def selection_of(wildcards):
    """The file of the window that a system uses, where it uses a selected one."""
    window = system_of(wildcards).window or ""
    if not window.startswith("selected-"):
        return []
    name = window.removeprefix("selected-")
    return f"<results>/{wildcards.collection}/{wildcards.model}/windows/{name}.json"


def window_flags(wildcards, input):
    window = system_of(wildcards).window
    selection = f" --selection {input.selection}" if input.selection else ""
    return f"--window {window}{selection}" if window else ""


def framework_settings(wildcards):
    return as_json(system_of(wildcards).framework_settings)


def mechanism_settings(wildcards):
    return as_json(system_of(wildcards).mechanism_settings)


def framework_of(wildcards):
    return system_of(wildcards).framework


def mechanism_of(wildcards):
    return system_of(wildcards).mechanism


def cached_signal(wildcards):
    return signal_of(wildcards.collection, wildcards.model, wildcards.variant)


def system_runs(wildcards):
    """Runs of every system of a collection, model and variant."""
    folder = (
        f"<results>/{wildcards.collection}/{wildcards.model}/runs/{wildcards.variant}"
    )
    return [f"{folder}/{name}.txt" for name in SYSTEMS[wildcards.variant]]


def system_flags(wildcards, input):
    return " ".join(f"{Path(run).stem}={run}" for run in input.runs)


def systems_where(cached):
    """Systems of any variant that the stored signal answers, or that need the model."""
    runs = (run for variant in VARIANTS for run in SYSTEMS[variant].values())
    return sorted({run.name for run in runs if run.cached == cached})
