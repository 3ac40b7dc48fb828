# Category 2 of the report: the measure by layer, its shape, and neighbouring layers.


rule answer_where:
    input:
        shapes=every("<results>/{collection}/{model}/layers/shape.tsv"),
        profiles=every("<results>/{collection}/{model}/layers/profile.tsv"),
        means="<results>/tables/means.tsv",
        figure="<results>/figures/depth.svg",
    output:
        answer("where", EMERGENCE),
    log:
        "<logs>/answer_where.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        measure=CONFIG["layers"]["measure"],
        links=PATHS.explorer.answer_links,
        code=code_digest("answer-where"),
    shell:
        "python -m layerrank answer-where --shapes {input.shapes:q} --profiles {input.profiles:q} --means {input.means:q}"
        " --measure {params.measure:q} --figure {input.figure:q} --links {params.links:q} --output {output:q} 2> {log:q}"


rule plot_profile:
    input:
        profile="<results>/{collection}/{model}/layers/profile.tsv",
        shape="<results>/{collection}/{model}/layers/shape.tsv",
        evaluation="<results>/{collection}/{model}/evaluation/base.tsv",
        selections=PATHS.layers.selections_of,
    output:
        figure("{collection}/{model}/profile", "profile", EMERGENCE, "measure by layer"),
    log:
        "<logs>/{collection}/{model}/plot_profile.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        all_layers=(
            ["--all-layers", "listwise-attention-all"]
            if "all" in CONFIG["systems"]["cached_windows"]
            else []
        ),
        measure=CONFIG["layers"]["measure"],
        code=code_digest("plot-profile"),
    shell:
        "python -m layerrank plot-profile --profile {input.profile:q} --shape {input.shape:q} --evaluation {input.evaluation:q}"
        " --measure {params.measure:q} --first-stage bm25 {params.all_layers:q} --ceiling ceiling"
        " --selections {input.selections:q} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule plot_neighbours:
    input:
        "<results>/{collection}/{model}/layers/neighbours.tsv",
    output:
        figure(
            "{collection}/{model}/neighbours",
            "neighbours",
            EMERGENCE,
            "agreement of neighbouring layers",
        ),
    log:
        "<logs>/{collection}/{model}/plot_neighbours.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        code=code_digest("plot-neighbours"),
    shell:
        "python -m layerrank plot-neighbours --table {input:q} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule plot_depth:
    input:
        profiles=every("<results>/{collection}/{model}/layers/profile.tsv"),
        means="<results>/tables/means.tsv",
    output:
        figure(
            "depth", "depth", EMERGENCE, "all models and collections on relative depth"
        ),
    log:
        "<logs>/plot_depth.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        measure=CONFIG["layers"]["measure"],
        code=code_digest("plot-depth"),
    shell:
        "python -m layerrank plot-depth --profiles {input.profiles:q} --measure {params.measure:q} --means {input.means:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule shape_table:
    input:
        every("<results>/{collection}/{model}/layers/shape.tsv"),
    output:
        table("shape", "shape_table", EMERGENCE, "shape of the curve"),
    log:
        "<logs>/shape_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("shape-table"),
    shell:
        "python -m layerrank shape-table --shapes {input:q} --outputs {output:q} 2> {log:q}"
