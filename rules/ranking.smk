# Runs: one-prompt attention from the stored signal, every other cell of the grid with the model at hand.


rule rerank_cached:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        signal=PATHS.attention.signal,
        selection=PATHS.ranking.selection,
    output:
        run="<results>/{collection}/{model}/runs/{variant}/{system}.txt",
        costs="<results>/{collection}/{model}/runs/{variant}/{system}.costs.jsonl",
    log:
        "<logs>/{collection}/{model}/rerank_cached.{variant}.{system}.log",
    wildcard_constraints:
        system=PATHS.ranking.systems_where(cached=True),
    conda:
        "../envs/analysis.yaml"
    params:
        settings=PATHS.ranking.mechanism_settings,
        window=PATHS.ranking.window,
        code=code_digest("rerank-cached"),
    shell:
        "python -m layerrank rerank-cached --candidates {input.candidates:q} --signal {input.signal:q}"
        " {params.window:q} --settings {params.settings:q} --tag {wildcards.system}"
        " --output {output.run:q} --costs {output.costs:q} 2> {log:q}"


rule rerank_online:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        model=PATHS.models.folder,
        check=PATHS.models.check,
        selection=PATHS.ranking.selection,
    output:
        run="<results>/{collection}/{model}/runs/{variant}/{system}.txt",
        costs="<results>/{collection}/{model}/runs/{variant}/{system}.costs.jsonl",
    log:
        "<logs>/{collection}/{model}/rerank_online.{variant}.{system}.log",
    wildcard_constraints:
        system=PATHS.ranking.systems_where(cached=False, alone=True),
        collection=PATHS.ranking.collections_where(sharded=False),
    conda:
        "../envs/model.yaml"
    threads: PATHS.models.threads
    resources:
        gpu=PATHS.models.gpus,
        mem_mb=PATHS.ranking.memory,
        runtime=PATHS.models.runtime,
    params:
        framework=PATHS.ranking.framework,
        mechanism=PATHS.ranking.mechanism,
        window=PATHS.ranking.window,
        prompt=PATHS.attention.prompt,
        batch_tokens=CONFIG["systems"]["batch_tokens"],
        shard=PATHS.ranking.shard,
        trial=PATHS.models.trial_flags,
        max_failure_rate=PATHS.ranking.failures_allowed,
        code=code_digest("rerank"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank rerank --candidates {input.candidates:q} --model {input.model:q}"
        " {params.framework:q} {params.mechanism:q} {params.window:q} {params.prompt:q} --batch-tokens {params.batch_tokens}"
        ' --max-failure-rate {params.max_failure_rate} {params.shard:q} --tag {wildcards.system} {params.trial:q} "${{SERVED[@]}}"'
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --keep --output {output.run:q} --costs {output.costs:q} 2> {log:q}"


# Models that were trained to rank depend on no other model: once a collection, beside the runs of every one.
rule rerank_trained:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        model=PATHS.models.folder,
    output:
        run="<results>/{collection}/trained/{variant}/{ranker}.txt",
        costs="<results>/{collection}/trained/{variant}/{ranker}.costs.jsonl",
    log:
        "<logs>/{collection}/rerank_trained.{variant}.{ranker}.log",
    wildcard_constraints:
        ranker=one_of(PATHS.ranking.trained),
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
        code=code_digest("rerank"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank rerank --candidates {input.candidates:q} --model {input.model:q}"
        " {params.system:q} --batch-tokens {params.batch_tokens}"
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --keep --output {output.run:q} --costs {output.costs:q} 2> {log:q}"
