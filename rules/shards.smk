# Runs in parts, a job each, where a collection has shards (`systems.sharded`), and the whole of them.


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
        system=PATHS.ranking.systems_where(cached=False, alone=True),
        collection=PATHS.ranking.collections_where(sharded=True),


use rule rerank_windows as rerank_windows_shard with:
    output:
        runs=temp(PATHS.ranking.window_runs("txt", ".shard-{shard}-of-{shards}")),
        costs=temp(
            PATHS.ranking.window_runs("costs.jsonl", ".shard-{shard}-of-{shards}")
        ),
    log:
        "<logs>/{collection}/{model}/rerank_windows.{variant}.{cell}.shard-{shard}-of-{shards}.log",
    wildcard_constraints:
        cell=PATHS.ranking.cells,
        collection=PATHS.ranking.collections_where(sharded=True),


rule join_shards:
    input:
        runs=PATHS.ranking.parts("txt"),
        costs=PATHS.ranking.parts("costs.jsonl"),
    output:
        run="<results>/{collection}/{model}/runs/{variant}/{system}.txt",
        costs="<results>/{collection}/{model}/runs/{variant}/{system}.costs.jsonl",
    log:
        "<logs>/{collection}/{model}/join_shards.{variant}.{system}.log",
    wildcard_constraints:
        system=PATHS.ranking.systems_where(cached=False),
        collection=PATHS.ranking.collections_where(sharded=True),
    conda:
        "../envs/analysis.yaml"
    params:
        max_failure_rate=CONFIG["systems"]["max_failure_rate"],
        code=code_digest("join-shards"),
    shell:
        "python -m layerrank join-shards --runs {input.runs:q} --run-costs {input.costs:q} --tag {wildcards.system}"
        " --max-failure-rate {params.max_failure_rate} --output {output.run:q} --costs {output.costs:q} 2> {log:q}"
