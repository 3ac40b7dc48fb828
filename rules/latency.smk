# Honest seconds and memory, stage by stage, on a sample of queries.


def latency_selections(wildcards):
    """Files of the selected windows that are timed."""
    rules = [w.removeprefix("selected-") for w in CONFIG["latency"]["windows"] if w.startswith("selected-")]
    return [f"<results>/{wildcards.collection}/{wildcards.model}/windows/{rule}.json" for rule in rules]


def named_latency_selections(wildcards, input):
    named = " ".join(f"{Path(path).stem}={path}" for path in input.selections)
    return f"--selections {named}" if named else ""


rule measure_latency:
    input:
        candidates="<results>/{collection}/candidates/base.jsonl.gz",
        model="<resources>/models/{model}",
        check="<results>/{collection}/{model}/prompts/base.json",
        selections=latency_selections,
    output:
        "<results>/{collection}/{model}/latency.tsv",
    params:
        windows=CONFIG["latency"]["windows"],
        queries=CONFIG["latency"]["queries"],
        repeats=CONFIG["latency"]["repeats"],
        warmup=CONFIG["latency"]["warmup"],
        seed=CONFIG["queries"]["seed"],
        selections=named_latency_selections,
        prompt=base_prompt_settings,
        code=code_digest("measure-latency"),
    log:
        "<logs>/{collection}/{model}/measure_latency.log",
    conda:
        "../envs/model.yaml"
    threads: 8
    priority: -10
    resources:
        gpu=gpus_of,
        mem_mb=model_memory,
        runtime=model_runtime,
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank measure-latency --candidates {input.candidates}"
        " --model {input.model} {params.prompt} --windows {params.windows} {params.selections}"
        " --queries {params.queries} --repeats {params.repeats} --warmup {params.warmup} --seed {params.seed}"
        " --output {output} 2> {log}"
