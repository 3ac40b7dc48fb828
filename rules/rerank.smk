# Runs: one-prompt attention from the stored signal, every other cell of the grid with the model at hand.


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


CACHED = sorted(
    {
        name
        for variant in VARIANTS
        for name, cell in SYSTEMS[variant].items()
        if cell.cached
    }
)
ONLINE = sorted(
    {
        name
        for variant in VARIANTS
        for name, cell in SYSTEMS[variant].items()
        if not cell.cached
    }
)


rule rerank_cached:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        signal=cached_signal,
        selection=selection_of,
    output:
        run="<results>/{collection}/{model}/runs/{variant}/{system}.txt",
        costs="<results>/{collection}/{model}/runs/{variant}/{system}.costs.jsonl",
    log:
        "<logs>/{collection}/{model}/rerank_cached.{variant}.{system}.log",
    wildcard_constraints:
        system="|".join(CACHED),
    conda:
        "../envs/analysis.yaml"
    params:
        settings=mechanism_settings,
        window=window_flags,
        code=code_digest("rerank-cached"),
    shell:
        "python -m layerrank rerank-cached --candidates {input.candidates} --signal {input.signal}"
        " {params.window} --settings {params.settings:q} --tag {wildcards.system}"
        " --output {output.run} --costs {output.costs} 2> {log}"


rule rerank_online:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        model="<resources>/models/{model}",
        check="<results>/{collection}/{model}/prompts/{variant}.json",
        selection=selection_of,
    output:
        run="<results>/{collection}/{model}/runs/{variant}/{system}.txt",
        costs="<results>/{collection}/{model}/runs/{variant}/{system}.costs.jsonl",
    log:
        "<logs>/{collection}/{model}/rerank_online.{variant}.{system}.log",
    wildcard_constraints:
        system="|".join(ONLINE) or "none",
    conda:
        "../envs/model.yaml"
    threads: 8
    resources:
        gpu=gpus_of,
        mem_mb=model_memory,
        runtime=model_runtime,
    params:
        framework=framework_of,
        framework_settings=framework_settings,
        mechanism=mechanism_of,
        mechanism_settings=mechanism_settings,
        window=window_flags,
        prompt=prompt_settings,
        batch_tokens=CONFIG["systems"]["batch_tokens"],
        max_failure_rate=CONFIG["systems"]["max_failure_rate"],
        code=code_digest("rerank"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank rerank --candidates {input.candidates} --model {input.model}"
        " --framework {params.framework} --framework-settings {params.framework_settings:q}"
        " --mechanism {params.mechanism} --mechanism-settings {params.mechanism_settings:q}"
        " {params.window} {params.prompt} --batch-tokens {params.batch_tokens}"
        " --max-failure-rate {params.max_failure_rate} --tag {wildcards.system}"
        " --output {output.run} --costs {output.costs} 2> {log}"
