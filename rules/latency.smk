# Honest seconds and memory, stage by stage, on a sample of queries.


rule measure_latency:
    input:
        candidates="<results>/{collection}/candidates/base.jsonl.gz",
        model=PATHS.model,
        check="<results>/{collection}/{model}/prompts/base.json",
        selections=PATHS.latency_selections,
    output:
        "<results>/{collection}/{model}/latency.tsv",
    log:
        "<logs>/{collection}/{model}/measure_latency.log",
    priority: -10
    conda:
        "../envs/model.yaml"
    threads: 8
    resources:
        gpu=PATHS.gpus,
        mem_mb=PATHS.memory,
        runtime=PATHS.runtime,
    params:
        windows=CONFIG["latency"]["windows"],
        queries=CONFIG["latency"]["queries"],
        repeats=CONFIG["latency"]["repeats"],
        warmup=CONFIG["latency"]["warmup"],
        seed=CONFIG["queries"]["seed"],
        selections=PATHS.latency_flags,
        prompt=PATHS.prompt_flags,
        code=code_digest("measure-latency"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank measure-latency --candidates {input.candidates:q}"
        " --collection {wildcards.collection} --model-name {wildcards.model} --model {input.model:q} {params.prompt:q} --windows {params.windows:q} {params.selections:q}"
        " --queries {params.queries} --repeats {params.repeats} --warmup {params.warmup} --seed {params.seed}"
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --output {output:q} 2> {log:q}"
