# Attention in every window of the grid: one job a cell. What is read for one window answers for the others, and what was
# ranked in a window stays beside its run: one that joins later, or whose selection changes, is all there is to rank.


rule rerank_windows:
    input:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        model=PATHS.models.folder,
        check=PATHS.models.check,
        selections=PATHS.ranking.window_selections,
    output:
        runs=PATHS.ranking.window_runs("txt"),
        costs=PATHS.ranking.window_runs("costs.jsonl"),
    log:
        "<logs>/{collection}/{model}/rerank_windows.{variant}.{cell}.log",
    wildcard_constraints:
        cell=PATHS.ranking.cells,
        collection=PATHS.ranking.collections_where(sharded=False),
    conda:
        "../envs/model.yaml"
    threads: PATHS.models.threads
    resources:
        gpu=PATHS.models.gpus,
        mem_mb=PATHS.ranking.memory,
        runtime=PATHS.ranking.windows_runtime,
    params:
        framework=PATHS.ranking.framework,
        mechanism=PATHS.ranking.mechanism,
        windows=PATHS.ranking.windows,
        prompt=PATHS.attention.prompt,
        batch_tokens=CONFIG["systems"]["batch_tokens"],
        shard=PATHS.ranking.shard,
        code=code_digest("rerank"),
    shell:
        "OMP_NUM_THREADS={threads} python -m layerrank rerank --candidates {input.candidates:q} --model {input.model:q}"
        " {params.framework:q} {params.mechanism:q} {params.windows:q} {params.prompt:q}"
        " --batch-tokens {params.batch_tokens} {params.shard:q} $([ {resources.gpu} -lt 2 ] || echo --device auto)"
        " --keep-for-good --output {output.runs:q} --costs {output.costs:q} 2> {log:q}"
