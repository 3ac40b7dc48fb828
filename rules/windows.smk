# Layer science from the stored signal, with no model at hand: measure by layer, by window, and the windows chosen.


rule layer_profile:
    input:
        signal=base_signal,
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
        measures=profile_measures,
        strategy=CONFIG["layers"]["strategy"],
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("layer-profile"),
    shell:
        "python -m layerrank layer-profile --signal {input.signal} --qrels {input.qrels} --measures {params.measures}"
        " --strategy {params.strategy} --seed {params.seed} --resamples {params.resamples} --workers {threads}"
        " --output {output} 2> {log}"


rule sweep_windows:
    input:
        signal=base_signal,
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
        measure=layer_measure,
        strategy=CONFIG["layers"]["strategy"],
        code=code_digest("sweep-windows"),
    shell:
        "python -m layerrank sweep-windows --signal {input.signal} --qrels {input.qrels} --measure {params.measure:q}"
        " --strategy {params.strategy} --workers {threads} --output {output.sweep} --table {output.table} 2> {log}"


rule select_window:
    input:
        sweep="<results>/{collection}/{model}/layers/sweep.arrow",
        signal=base_signal,
        others=other_sweeps,
    output:
        "<results>/{collection}/{model}/windows/{selection}.json",
    log:
        "<logs>/{collection}/{model}/select_window.{selection}.log",
    conda:
        "../envs/analysis.yaml"
    threads: 2
    params:
        rule=rule_settings,
        others=other_flags,
        code=code_digest("select-window"),
    shell:
        "python -m layerrank select-window --name {wildcards.selection} --rule {params.rule:q}"
        " --collection {wildcards.collection} --sweep {input.sweep} --signal {input.signal} --others {params.others}"
        " --workers {threads} --output {output} 2> {log}"


rule layer_shape:
    input:
        profile="<results>/{collection}/{model}/layers/profile.tsv",
        signal=base_signal,
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
        strategy=CONFIG["layers"]["strategy"],
        seed=CONFIG["evaluation"]["seed"],
        code=code_digest("layer-shape"),
    shell:
        "python -m layerrank layer-shape --profile {input.profile} --signal {input.signal} --strategy {params.strategy}"
        " --seed {params.seed} --workers {threads} --output {output.shape} --neighbours {output.neighbours} 2> {log}"


rule transfer:
    input:
        sweeps=transfer_sweeps,
        selections=transfer_selections,
    output:
        "<results>/tables/transfer/values/{kind}.{fixed}.tsv",
    log:
        "<logs>/transfer.{kind}.{fixed}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        sweeps=named_transfer_sweeps,
        selections=named_transfer_selections,
        same=lambda w: "--same-collection" if w.kind == "collection" else "",
        code=code_digest("transfer"),
    shell:
        "python -m layerrank transfer --sweeps {params.sweeps} --selections {params.selections} {params.same}"
        " --output {output} 2> {log}"
