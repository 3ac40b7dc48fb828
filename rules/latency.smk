# Honest seconds and memory, stage by stage, on a sample of queries.


rule measure_latency:
    input:
        candidates="<results>/{collection}/candidates/base.jsonl.gz",
        model=PATHS.models.folder,
        check="<results>/{collection}/{model}/prompts/base.json",
        selections=PATHS.latency.selections,
    output:
        "<results>/{collection}/{model}/latency.tsv",
    log:
        "<logs>/{collection}/{model}/measure_latency.log",
    priority: -10
    conda:
        "../envs/model.yaml"
    threads: 8
    resources:
        gpu=PATHS.models.gpus,
        mem_mb=PATHS.attention.memory,
        runtime=PATHS.models.runtime,
    params:
        windows=CONFIG["latency"]["windows"],
        queries=CONFIG["latency"]["queries"],
        repeats=CONFIG["latency"]["repeats"],
        warmup=CONFIG["latency"]["warmup"],
        seed=CONFIG["queries"]["seed"],
        selections=PATHS.latency.of_selections,
        prompt=PATHS.attention.prompt,
        code=code_digest("measure-latency"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank measure-latency --candidates {input.candidates:q}"
        " --collection {wildcards.collection} --model-name {wildcards.model} --model {input.model:q} {params.prompt:q} --windows {params.windows:q} {params.selections:q}"
        " --queries {params.queries} --repeats {params.repeats} --warmup {params.warmup} --seed {params.seed}"
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --output {output:q} 2> {log:q}"


# The same queries' lists, whatever candidates its run is made of.
rule measure_trained:
    input:
        candidates="<results>/{collection}/candidates/base.jsonl.gz",
        model=PATHS.models.folder,
    output:
        "<results>/{collection}/trained/latency/{ranker}.tsv",
    log:
        "<logs>/{collection}/measure_trained.{ranker}.log",
    wildcard_constraints:
        ranker=one_of(PATHS.ranking.trained),
    priority: -10
    conda:
        "../envs/model.yaml"
    threads: 8
    resources:
        gpu=PATHS.models.gpus,
        mem_mb=PATHS.ranking.trained_memory,
        runtime=PATHS.models.runtime,
    params:
        system=PATHS.ranking.trained_flags,
        batch_tokens=CONFIG["systems"]["batch_tokens"],
        queries=CONFIG["latency"]["queries"],
        repeats=CONFIG["latency"]["repeats"],
        warmup=CONFIG["latency"]["warmup"],
        seed=CONFIG["queries"]["seed"],
        code=code_digest("measure-trained"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank measure-trained --candidates {input.candidates:q}"
        " --collection {wildcards.collection} --model-name {wildcards.ranker} --model {input.model:q} {params.system:q}"
        " --batch-tokens {params.batch_tokens}"
        " --queries {params.queries} --repeats {params.repeats} --warmup {params.warmup} --seed {params.seed}"
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --output {output:q} 2> {log:q}"
