# Category 6 of the report: biases, sensitivity, answers that were not well-formed, published figures.


rule plot_diagnostics:
    input:
        position="<results>/{collection}/{model}/diagnostics/position.tsv",
        length="<results>/{collection}/{model}/diagnostics/length.tsv",
    output:
        figure(
            "{collection}/{model}/diagnostics",
            "diagnostics",
            DIAGNOSTICS,
            "bias by place and length",
        ),
    log:
        "<logs>/{collection}/{model}/plot_diagnostics.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        title=PATHS.items.title,
        code=code_digest("plot-diagnostics"),
    shell:
        "python -m layerrank plot-diagnostics --position {input.position:q} --length {input.length:q} --title {params.title:q}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule outcome_table:
    input:
        ranked(
            "<results>/{collection}/{model}/evaluation/{variant}.costs.tsv",
            PATHS.evaluation.shown,
        ),
    output:
        table("outcomes", "outcomes_table", DIAGNOSTICS, "answers of models"),
    log:
        "<logs>/outcome_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("outcome-table"),
    shell:
        "python -m layerrank outcome-table --costs {input:q} --outputs {output:q} 2> {log:q}"


rule diagnostics_table:
    input:
        every("<results>/{collection}/{model}/diagnostics/correlations.tsv"),
    output:
        table(
            "diagnostics",
            "diagnostics_table",
            DIAGNOSTICS,
            "rank correlations of scores",
        ),
    log:
        "<logs>/diagnostics_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("diagnostics-table"),
    shell:
        "python -m layerrank diagnostics-table --correlations {input:q} --outputs {output:q} 2> {log:q}"


rule audit_table:
    input:
        ranked(
            "<results>/{collection}/{model}/evaluation/{variant}.audit.tsv",
            PATHS.evaluation.shown,
        ),
    output:
        table("audit", "audit_table", DIAGNOSTICS, "ties and unjudged passages"),
    log:
        "<logs>/audit_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("audit-table"),
    shell:
        "python -m layerrank audit-table --audits {input:q} --outputs {output:q} 2> {log:q}"


rule sensitivity_table:
    input:
        "<results>/tables/differences.tsv",
    output:
        table("sensitivity", "sensitivity_table", DIAGNOSTICS, "sensitivity"),
    log:
        "<logs>/sensitivity_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        measure=LEAD_MEASURE,
        variants=as_json(PATHS.evaluation.sensitivity),
        code=code_digest("sensitivity-table"),
    shell:
        "python -m layerrank sensitivity-table --differences {input:q} --measure {params.measure:q}"
        " --variants {params.variants:q} --outputs {output:q} 2> {log:q}"


rule published_table:
    input:
        means="<results>/tables/means.tsv",
        profiles=every("<results>/{collection}/{model}/layers/profile.tsv"),
    output:
        table("published", "published_table", DIAGNOSTICS, "published and measured"),
    log:
        "<logs>/published_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        code=code_digest("published-table"),
    shell:
        "python -m layerrank published-table --means {input.means:q} --profiles {input.profiles:q} --outputs {output:q} 2> {log:q}"
