# Runs: one-prompt attention from the stored signal, every other cell of the grid with the model at hand.


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
        system="|".join(systems_where(cached=True)),
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
        system="|".join(systems_where(cached=False)) or "none",
        collection="|".join(name for name in COLLECTIONS if name not in SHARDED)
        or "none",
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
        shard=shard_flags,
        max_failure_rate=failures_allowed,
        code=code_digest("rerank"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank rerank --candidates {input.candidates} --model {input.model}"
        " --framework {params.framework} --framework-settings {params.framework_settings:q}"
        " --mechanism {params.mechanism} --mechanism-settings {params.mechanism_settings:q}"
        " {params.window} {params.prompt} --batch-tokens {params.batch_tokens}"
        " --max-failure-rate {params.max_failure_rate} {params.shard} --tag {wildcards.system}"
        " $([ {resources.gpu} -lt 2 ] || echo --device auto) --keep --output {output.run} --costs {output.costs} 2> {log}"


use rule rerank_online as rerank_shard with:
    output:
        run=temp(
            "<results>/{collection}/{model}/runs/{variant}/{system}.shard-{shard}-of-{shards}.txt"
        ),
        costs=temp(
            "<results>/{collection}/{model}/runs/{variant}/{system}.shard-{shard}-of-{shards}.costs.jsonl"
        ),
    log:
        "<logs>/{collection}/{model}/rerank_online.{variant}.{system}.shard-{shard}-of-{shards}.log",
    wildcard_constraints:
        system="|".join(systems_where(cached=False)) or "none",
        collection="|".join(SHARDED) or "none",


rule join_shards:
    input:
        runs=shard_runs,
        costs=shard_costs,
    output:
        run="<results>/{collection}/{model}/runs/{variant}/{system}.txt",
        costs="<results>/{collection}/{model}/runs/{variant}/{system}.costs.jsonl",
    log:
        "<logs>/{collection}/{model}/join_shards.{variant}.{system}.log",
    wildcard_constraints:
        system="|".join(systems_where(cached=False)) or "none",
        collection="|".join(SHARDED) or "none",
    conda:
        "../envs/analysis.yaml"
    params:
        max_failure_rate=CONFIG["systems"]["max_failure_rate"],
        code=code_digest("join-shards"),
    shell:
        "python -m layerrank join-shards --runs {input.runs} --run-costs {input.costs} --tag {wildcards.system}"
        " --max-failure-rate {params.max_failure_rate} --output {output.run} --costs {output.costs} 2> {log}"
