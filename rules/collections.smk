# Where topics, judgements and texts come from, and whether they hold together.


rule prepare_collection:
    input:
        collection_sources,
    output:
        topics="<results>/{collection}/collection/topics.jsonl",
        qrels="<results>/{collection}/collection/qrels.txt",
        about="<results>/{collection}/collection/collection.json",
    params:
        entry=collection_entry,
        limit=CONFIG["queries"]["limit"],
        seed=CONFIG["queries"]["seed"],
        code=code_digest("prepare-collection"),
    log:
        "<logs>/{collection}/prepare_collection.log",
    conda:
        "../envs/retrieve.yaml"
    priority: 100
    resources:
        mem_mb=2000,
        runtime=60,
    shell:
        "python -m layerrank prepare-collection --name {wildcards.collection} --entry {params.entry:q}"
        " --query-limit {params.limit} --seed {params.seed} --cache <resources>"
        " --output $(dirname {output.topics}) 2> {log}"
