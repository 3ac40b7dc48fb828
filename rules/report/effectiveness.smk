# Category 1 of the report: systems against each other, framework by framework and mechanism by mechanism.


rule answer_mechanisms:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
        costs=ranked(
            "<results>/{collection}/{model}/evaluation/{variant}.costs.tsv", [GRID]
        ),
        figure=f"<results>/figures/effectiveness.{GRID}.svg",
    output:
        answer("mechanisms", EFFECTIVENESS),
    log:
        "<logs>/answer_mechanisms.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        tests=PATHS.report.tests,
        measure=LEAD_MEASURE,
        variant=GRID,
        links=PATHS.explorer.answer_links,
        code=code_digest("answer-mechanisms"),
    shell:
        "python -m layerrank answer-mechanisms --means {input.means:q} --comparisons {input.comparisons:q}"
        " --costs {input.costs:q} --measure {params.measure:q} --variant {params.variant} {params.tests:q}"
        " --figure {input.figure:q} --links {params.links:q} --output {output:q} 2> {log:q}"


rule plot_effectiveness:
    input:
        "<results>/tables/means.tsv",
    output:
        figure(
            "effectiveness.{variant}",
            "effectiveness",
            EFFECTIVENESS,
            "all systems (figure)",
        ),
    log:
        "<logs>/plot_effectiveness.{variant}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        measure=LEAD_MEASURE,
        baseline=CONFIG["evaluation"]["baseline"],
        code=code_digest("plot-effectiveness"),
    shell:
        "python -m layerrank plot-effectiveness --means {input:q} --measure {params.measure:q} --variant {wildcards.variant}"
        " --baseline {params.baseline}"
        " --output {output.svg:q} --pdf {output.pdf:q} 2> {log:q}"


rule effectiveness_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        table(
            "effectiveness.{variant}",
            "effectiveness_table",
            EFFECTIVENESS,
            "all systems",
        ),
    log:
        "<logs>/effectiveness_table.{variant}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        marks=PATHS.report.marks,
        caveats=PATHS.report.caveats,
        measures=CONFIG["evaluation"]["measures"],
        code=code_digest("effectiveness-table"),
    shell:
        "python -m layerrank effectiveness-table --means {input.means:q} --comparisons {input.comparisons:q}"
        " --variant {wildcards.variant} {params.marks:q} --measures {params.measures:q} {params.caveats:q}"
        " --outputs {output:q} 2> {log:q}"


rule comparison_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        table("comparison.{variant}", "comparison_table", EFFECTIVENESS, "paired tests"),
    log:
        "<logs>/comparison_table.{variant}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        marks=PATHS.report.marks,
        measure=LEAD_MEASURE,
        code=code_digest("comparison-table"),
    shell:
        "python -m layerrank comparison-table --means {input.means:q} --comparisons {input.comparisons:q}"
        " --variant {wildcards.variant} {params.marks:q} --measures {params.measure:q} --outputs {output:q} 2> {log:q}"


rule grid_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        table("grid", "grid_table", EFFECTIVENESS, "frameworks × mechanisms"),
    log:
        "<logs>/grid_table.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        marks=PATHS.report.marks,
        measure=LEAD_MEASURE,
        variant=GRID,
        code=code_digest("grid-table"),
    shell:
        "python -m layerrank grid-table --means {input.means:q} --comparisons {input.comparisons:q}"
        " --variant {params.variant} {params.marks:q} --measure {params.measure:q} --outputs {output:q} 2> {log:q}"
