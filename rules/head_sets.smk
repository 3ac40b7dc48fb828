# What is told of heads from the stored signal: each by itself, how many it takes, how far sets agree and carry over.


rule map_heads:
    input:
        signal=PATHS.attention.signal,
        orders=PATHS.orders.signals,
        qrels="<results>/{collection}/candidates/base.qrels.txt",
    output:
        "<results>/{collection}/{model}/heads/map.tsv",
    log:
        "<logs>/{collection}/{model}/map_heads.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        orders=PATHS.heads.of_orders,
        measure=CONFIG["layers"]["measure"],
        strategy=PATHS.head_sets.strategy,
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("map-heads"),
    shell:
        "python -m layerrank map-heads --collection {wildcards.collection} --model {wildcards.model}"
        " --signal {input.signal:q} {params.orders:q} --qrels {input.qrels:q} --measure {params.measure:q}"
        " --strategy {params.strategy} --seed {params.seed} --resamples {params.resamples} --workers {threads}"
        " --output {output:q} 2> {log:q}"


rule count_heads:
    input:
        signal=PATHS.attention.signal,
        qrels="<results>/{collection}/candidates/base.qrels.txt",
        ranked=PATHS.heads.ranked,
    output:
        "<results>/{collection}/{model}/heads/counts.tsv",
    log:
        "<logs>/{collection}/{model}/count_heads.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    params:
        measure=CONFIG["layers"]["measure"],
        strategy=CONFIG["layers"]["strategy"],
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("count-heads"),
    shell:
        "python -m layerrank count-heads --collection {wildcards.collection} --model {wildcards.model}"
        " --signal {input.signal:q} --qrels {input.qrels:q} --ranked {input.ranked:q} --measure {params.measure:q}"
        " --strategy {params.strategy} --seed {params.seed} --resamples {params.resamples} --workers {threads}"
        " --output {output:q} 2> {log:q}"


rule agree_heads:
    input:
        ranked=PATHS.head_sets.ranked,
        dtypes=PATHS.head_sets.in_dtypes,
    output:
        "<results>/tables/heads/agreement.tsv",
    log:
        "<logs>/agree_heads.log",
    conda:
        "../envs/analysis.yaml"
    params:
        ranked=PATHS.head_sets.of_ranked,
        dtypes=PATHS.head_sets.of_dtypes,
        code=code_digest("agree-heads"),
    shell:
        "python -m layerrank agree-heads --ranked {params.ranked:q} {params.dtypes:q} --output {output:q} 2> {log:q}"


rule transfer_heads:
    input:
        signals=PATHS.head_sets.carried_signals,
        qrels=PATHS.head_sets.carried_qrels,
        chosen=PATHS.head_sets.carried_heads,
    output:
        "<results>/tables/heads/transfer.{model}.tsv",
    log:
        "<logs>/transfer_heads.{model}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    params:
        signals=PATHS.head_sets.of_carried_signals,
        qrels=PATHS.head_sets.of_carried_qrels,
        chosen=PATHS.head_sets.of_carried_heads,
        measure=CONFIG["layers"]["measure"],
        strategy=CONFIG["layers"]["strategy"],
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("transfer-heads"),
    shell:
        "python -m layerrank transfer-heads --model {wildcards.model} --signals {params.signals:q} --qrels {params.qrels:q}"
        " --chosen {params.chosen:q} --measure {params.measure:q} --strategy {params.strategy} --seed {params.seed}"
        " --resamples {params.resamples} --workers {threads} --output {output:q} 2> {log:q}"
