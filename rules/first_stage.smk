# The first stage: an index, BM25, and the one candidate list that every system ranks.


rule build_index:
    input:
        about="<results>/{collection}/collection/collection.json",
        sources=PATHS.collections.sources_of,
    output:
        directory("<results>/{collection}/index"),
    log:
        "<logs>/{collection}/build_index.log",
    priority: 90
    conda:
        "../envs/retrieve.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        code=code_digest("build-index"),
    shell:
        'python -m layerrank build-index --collection "$(dirname {input.about:q})" --cache "$LAYERRANK_CACHE"'
        " --threads {threads} --output {output:q} 2> {log:q}"


rule retrieve:
    input:
        topics="<results>/{collection}/collection/topics.jsonl",
        about="<results>/{collection}/collection/collection.json",
        index="<results>/{collection}/index",
        sources=PATHS.collections.sources_of,
    output:
        run="<results>/{collection}/first_stage/run.txt",
        passages="<results>/{collection}/first_stage/passages.jsonl.gz",
        counts="<results>/{collection}/first_stage/counts.json",
    log:
        "<logs>/{collection}/retrieve.log",
    priority: 90
    conda:
        "../envs/retrieve.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        k1=CONFIG["first_stage"]["k1"],
        b=CONFIG["first_stage"]["b"],
        depth=CONFIG["first_stage"]["depth"],
        code=code_digest("retrieve"),
    shell:
        'python -m layerrank retrieve --collection "$(dirname {input.topics:q})" --index {input.index:q}'
        " --k1 {params.k1} --b {params.b} --depth {params.depth} --threads {threads}"
        " --output {output.run:q} --passages {output.passages:q} --counts {output.counts:q} 2> {log:q}"


rule check_first_stage:
    input:
        run="<results>/{collection}/first_stage/run.txt",
        qrels="<results>/{collection}/collection/qrels.txt",
        about="<results>/{collection}/collection/collection.json",
    output:
        "<results>/{collection}/first_stage/check.json",
    log:
        "<logs>/{collection}/check_first_stage.log",
    priority: 90
    conda:
        "../envs/analysis.yaml"
    params:
        policy=CONFIG["first_stage"]["check"],
        k1=CONFIG["first_stage"]["k1"],
        b=CONFIG["first_stage"]["b"],
        depth=CONFIG["first_stage"]["depth"],
        entry=PATHS.collections.expected,
        code=code_digest("check-first-stage"),
    shell:
        "python -m layerrank check-first-stage --run {input.run:q} --qrels {input.qrels:q} --entry {params.entry:q}"
        " --k1 {params.k1} --b {params.b} --depth {params.depth} --policy {params.policy} --output {output:q} 2> {log:q}"


rule make_candidates:
    input:
        topics="<results>/{collection}/collection/topics.jsonl",
        qrels="<results>/{collection}/collection/qrels.txt",
        run="<results>/{collection}/first_stage/run.txt",
        passages="<results>/{collection}/first_stage/passages.jsonl.gz",
        check="<results>/{collection}/first_stage/check.json",
    output:
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        qrels="<results>/{collection}/candidates/{variant}.qrels.txt",
    log:
        "<logs>/{collection}/make_candidates.{variant}.log",
    priority: 80
    conda:
        "../envs/analysis.yaml"
    params:
        candidates=PATHS.collections.candidates,
        code=code_digest("make-candidates"),
    shell:
        "python -m layerrank make-candidates --topics {input.topics:q} --qrels {input.qrels:q} --run {input.run:q}"
        " --passages {input.passages:q} {params.candidates:q}"
        " --output {output.candidates:q} --output-qrels {output.qrels:q} 2> {log:q}"
