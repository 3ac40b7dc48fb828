# Where topics, judgements and texts come from, and whether they hold together.


rule prepare_collection:
    input:
        PATHS.collections.sources_of,
    output:
        topics="<results>/{collection}/collection/topics.jsonl",
        qrels="<results>/{collection}/collection/qrels.txt",
        about="<results>/{collection}/collection/collection.json",
        excluded="<results>/{collection}/collection/excluded.jsonl.gz",
    log:
        "<logs>/{collection}/prepare_collection.log",
    priority: 100
    conda:
        "../envs/retrieve.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        entry=PATHS.collections.identity,
        sources=PATHS.collections.digests,
        queries=PATHS.collections.queries,
        code=code_digest("prepare-collection"),
    shell:
        "python -m layerrank prepare-collection --name {wildcards.collection} --entry {params.entry:q}"
        ' {params.queries:q} --cache "$LAYERRANK_CACHE"'
        ' --output "$(dirname {output.topics:q})" 2> {log:q}'


# No rule reads what it writes, so that other folds cost no signal; it comes before all that a model is asked for.
rule check_queries:
    input:
        qrels="<results>/{collection}/collection/qrels.txt",
    output:
        "<results>/{collection}/collection/asked.json",
    log:
        "<logs>/{collection}/check_queries.log",
    priority: 100
    conda:
        "../envs/retrieve.yaml"
    params:
        asked=PATHS.collections.asked,
        code=code_digest("check-queries"),
    shell:
        "python -m layerrank check-queries --collection {wildcards.collection} --qrels {input.qrels:q}"
        " --asked {params.asked:q} --output {output:q} 2> {log:q}"
