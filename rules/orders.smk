# Relevance or place: every window over further input orders of the same candidates, where a study asks for `orders`.


rule sweep_orders:
    input:
        signals=PATHS.orders.signals,
        qrels=PATHS.orders.qrels,
    output:
        sweep="<results>/{collection}/{model}/orders/sweep.arrow",
        table="<results>/{collection}/{model}/orders/sweep.tsv",
    log:
        "<logs>/{collection}/{model}/sweep_orders.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        orders=PATHS.orders.of_signals,
        shuffled=PATHS.orders.shuffled,
        measure=CONFIG["layers"]["measure"],
        strategy=CONFIG["layers"]["strategy"],
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("sweep-orders"),
    shell:
        "python -m layerrank sweep-orders --collection {wildcards.collection} --model {wildcards.model} --variant orders"
        " --orders {params.orders:q} {params.shuffled:q} --qrels {input.qrels:q}"
        " --measure {params.measure:q} --strategy {params.strategy} --seed {params.seed} --resamples {params.resamples}"
        " --workers {threads} --output {output.sweep:q} --table {output.table:q} 2> {log:q}"


rule evaluate_orders:
    input:
        signals=PATHS.orders.signals,
        qrels=PATHS.orders.qrels,
        candidates="<results>/{collection}/candidates/base.jsonl.gz",
        selections=PATHS.orders.selections,
        heads=PATHS.orders.heads,
        sweep="<results>/{collection}/{model}/orders/sweep.arrow",
    output:
        values="<results>/{collection}/{model}/evaluation/orders.tsv",
        windows="<results>/{collection}/{model}/orders/windows.tsv",
        by_order="<results>/{collection}/{model}/orders/by_order.tsv",
    log:
        "<logs>/{collection}/{model}/evaluate_orders.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        orders=PATHS.orders.of_signals,
        shuffled=PATHS.orders.shuffled,
        windows=PATHS.orders.windows,
        measures=CONFIG["evaluation"]["measures"],
        level=PATHS.collections.relevance_level,
        strategy=CONFIG["layers"]["strategy"],
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("evaluate-orders"),
    shell:
        "python -m layerrank evaluate-orders --collection {wildcards.collection} --model {wildcards.model} --variant orders"
        " --orders {params.orders:q} {params.shuffled:q} --qrels {input.qrels:q} --candidates {input.candidates:q}"
        " --windows {params.windows:q} --selections {input.selections:q} --heads {input.heads:q}"
        " --measures {params.measures:q} --sweep {input.sweep:q} --relevance-level {params.level} --strategy {params.strategy} --seed {params.seed}"
        " --resamples {params.resamples} --workers {threads} --output {output.values:q} --table {output.windows:q}"
        " --by-order {output.by_order:q} 2> {log:q}"
