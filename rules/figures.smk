# Figures of the report, each as SVG and PDF.


rule plot_effectiveness:
    input:
        "<results>/tables/means.tsv",
    output:
        **figure(
            "effectiveness.{variant}",
            "effectiveness",
            EFFECTIVENESS,
            "all systems (figure)",
        ),
    log:
        "<logs>/plot_effectiveness.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        measure=LEAD_MEASURE,
        baseline=CONFIG["evaluation"]["baseline"],
        code=code_digest("plot-effectiveness"),
    shell:
        "python -m layerrank plot-effectiveness --means {input} --measure {params.measure:q} --variant {wildcards.variant}"
        " --baseline {params.baseline}"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_profile:
    input:
        profile="<results>/{collection}/{model}/layers/profile.tsv",
        shape="<results>/{collection}/{model}/layers/shape.tsv",
        evaluation="<results>/{collection}/{model}/evaluation/base.tsv",
        selections=selections_of,
    output:
        **figure(
            "{collection}/{model}/profile", "profile", EMERGENCE, "measure by layer"
        ),
    log:
        "<logs>/{collection}/{model}/plot_profile.log",
    conda:
        "../envs/analysis.yaml"
    params:
        all_layers=(
            "--all-layers listwise-attention-all"
            if "all" in CONFIG["systems"]["cached_windows"]
            else ""
        ),
        measure=CONFIG["layers"]["measure"],
        code=code_digest("plot-profile"),
    shell:
        "python -m layerrank plot-profile --profile {input.profile} --shape {input.shape} --evaluation {input.evaluation}"
        " --measure {params.measure:q} --first-stage bm25 {params.all_layers} --ceiling ceiling"
        " --selections {input.selections} --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_neighbours:
    input:
        "<results>/{collection}/{model}/layers/neighbours.tsv",
    output:
        **figure(
            "{collection}/{model}/neighbours",
            "neighbours",
            EMERGENCE,
            "agreement of neighbouring layers",
        ),
    log:
        "<logs>/{collection}/{model}/plot_neighbours.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("plot-neighbours"),
    shell:
        "python -m layerrank plot-neighbours --table {input} --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_depth:
    input:
        profiles=every("<results>/{collection}/{model}/layers/profile.tsv", ["base"]),
        means="<results>/tables/means.tsv",
    output:
        **figure(
            "depth", "depth", EMERGENCE, "all models and collections on relative depth"
        ),
    log:
        "<logs>/plot_depth.log",
    conda:
        "../envs/analysis.yaml"
    params:
        measure=CONFIG["layers"]["measure"],
        collections=[collection for collection in COLLECTIONS for _ in MODELS],
        models=[model for _ in COLLECTIONS for model in MODELS],
        code=code_digest("plot-depth"),
    shell:
        "python -m layerrank plot-depth --profiles {input.profiles} --collections {params.collections}"
        " --models {params.models} --measure {params.measure:q} --means {input.means}"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_sweep:
    input:
        sweep="<results>/{collection}/{model}/layers/sweep.tsv",
        evaluation="<results>/{collection}/{model}/evaluation/base.tsv",
        selections=selections_of,
    output:
        **figure("{collection}/{model}/sweep", "sweep", WINDOWS, "measure by window"),
    log:
        "<logs>/{collection}/{model}/plot_sweep.log",
    conda:
        "../envs/analysis.yaml"
    params:
        measure=CONFIG["layers"]["measure"],
        windows=[
            window
            for window in CONFIG["systems"]["cached_windows"]
            if window.startswith("L")
        ],
        code=code_digest("plot-sweep"),
    shell:
        "python -m layerrank plot-sweep --sweep {input.sweep} --evaluation {input.evaluation} --measure {params.measure:q}"
        " --first-stage bm25 --ceiling ceiling --selections {input.selections} --windows {params.windows}"
        " --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_transfer:
    input:
        "<results>/tables/{model}/transfer.values.tsv",
    output:
        **figure(
            "{model}/transfer",
            "transfer",
            WINDOWS,
            "regret of windows from elsewhere (figure)",
        ),
    log:
        "<logs>/plot_transfer.{model}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        measure=CONFIG["layers"]["measure"],
        code=code_digest("plot-transfer"),
    shell:
        "python -m layerrank plot-transfer --table {input} --measure {params.measure:q} --title {wildcards.model}"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_pareto:
    input:
        means="<results>/tables/means.tsv",
        costs=cost_files,
    output:
        **figure(
            "{collection}/{model}/pareto.{variant}",
            "pareto",
            COST,
            "quality against cost",
        ),
    log:
        "<logs>/{collection}/{model}/plot_pareto.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        measure=LEAD_MEASURE,
        code=code_digest("plot-pareto"),
    shell:
        "python -m layerrank plot-pareto --means {input.means} --costs {input.costs} --cost layer_tokens --measure {params.measure:q}"
        " --collections {wildcards.collection} --models {wildcards.model} --variant {wildcards.variant} --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_latency:
    input:
        "<results>/{collection}/{model}/latency.tsv",
    output:
        **figure("{collection}/{model}/latency", "latency", COST, "seconds by stage"),
    log:
        "<logs>/{collection}/{model}/plot_latency.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("plot-latency"),
    shell:
        "python -m layerrank plot-latency --table {input} --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_diagnostics:
    input:
        position="<results>/{collection}/{model}/diagnostics/position.tsv",
        length="<results>/{collection}/{model}/diagnostics/length.tsv",
    output:
        **figure(
            "{collection}/{model}/diagnostics",
            "diagnostics",
            DIAGNOSTICS,
            "bias by place and length",
        ),
    log:
        "<logs>/{collection}/{model}/plot_diagnostics.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_digest("plot-diagnostics"),
    shell:
        "python -m layerrank plot-diagnostics --position {input.position} --length {input.length} --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"
