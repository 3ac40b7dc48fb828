# Layer science from the stored signal, with no model at hand: measure by layer, by window, and the windows chosen.


rule layer_profile:
    input:
        signal=PATHS.attention.signal,
        qrels="<results>/{collection}/candidates/base.qrels.txt",
    output:
        "<results>/{collection}/{model}/layers/profile.tsv",
    log:
        "<logs>/{collection}/{model}/layer_profile.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        measures=PATHS.layers.measures,
        strategy=CONFIG["layers"]["strategy"],
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("layer-profile"),
    shell:
        "python -m layerrank layer-profile --collection {wildcards.collection} --model {wildcards.model}"
        " --signal {input.signal:q} --qrels {input.qrels:q} --measures {params.measures:q}"
        " --strategy {params.strategy} --seed {params.seed} --resamples {params.resamples} --workers {threads}"
        " --output {output:q} 2> {log:q}"


rule sweep_windows:
    input:
        signal=PATHS.attention.signal,
        qrels="<results>/{collection}/candidates/base.qrels.txt",
    output:
        sweep="<results>/{collection}/{model}/layers/sweep.arrow",
        table="<results>/{collection}/{model}/layers/sweep.tsv",
    log:
        "<logs>/{collection}/{model}/sweep_windows.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        measure=CONFIG["layers"]["measure"],
        strategy=CONFIG["layers"]["strategy"],
        code=code_digest("sweep-windows"),
    shell:
        "python -m layerrank sweep-windows --collection {wildcards.collection} --model {wildcards.model}"
        " --signal {input.signal:q} --qrels {input.qrels:q} --measure {params.measure:q}"
        " --strategy {params.strategy} --workers {threads} --output {output.sweep:q} --table {output.table:q} 2> {log:q}"


rule select_window:
    input:
        sweep="<results>/{collection}/{model}/layers/sweep.arrow",
        signal=PATHS.attention.signal,
        others=PATHS.layers.other_sweeps,
        over_orders=PATHS.layers.over_orders,
    output:
        "<results>/{collection}/{model}/windows/{selection}.json",
    log:
        "<logs>/{collection}/{model}/select_window.{selection}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    params:
        rule=PATHS.layers.rule,
        others=PATHS.layers.of_others,
        over_orders=PATHS.layers.over_orders_flags,
        code=code_digest("select-window"),
    shell:
        "python -m layerrank select-window --name {wildcards.selection} --rule {params.rule:q}"
        " --collection {wildcards.collection} --model {wildcards.model} --sweep {input.sweep:q} --signal {input.signal:q} --others {params.others:q}"
        " {params.over_orders:q} --workers {threads} --output {output:q} 2> {log:q}"


rule layer_shape:
    input:
        signal=PATHS.attention.signal,
        qrels="<results>/{collection}/candidates/base.qrels.txt",
    output:
        shape="<results>/{collection}/{model}/layers/shape.tsv",
        neighbours="<results>/{collection}/{model}/layers/neighbours.tsv",
    log:
        "<logs>/{collection}/{model}/layer_shape.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        measures=PATHS.layers.measures,
        strategy=CONFIG["layers"]["strategy"],
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("layer-shape"),
    shell:
        "python -m layerrank layer-shape --collection {wildcards.collection} --model {wildcards.model}"
        " --signal {input.signal:q} --qrels {input.qrels:q} --measures {params.measures:q}"
        " --strategy {params.strategy} --seed {params.seed} --resamples {params.resamples} --workers {threads}"
        " --output {output.shape:q} --neighbours {output.neighbours:q} 2> {log:q}"
