# Figures and tables of the report, in its five categories.

EFFECTIVENESS = "1. Effectiveness"
EMERGENCE = "2. Where relevance emerges"
WINDOWS = "3. Window choice"
COST = "4. Cost"
DIAGNOSTICS = "5. Diagnostics"


rule plot_profile:
    input:
        profile="<results>/{collection}/{model}/layers/profile.tsv",
        evaluation="<results>/{collection}/{model}/evaluation/base.tsv",
        selections=selections_of,
        shape="<results>/{collection}/{model}/layers/shape.tsv",
    output:
        svg=report(
            "<results>/figures/{collection}/{model}/profile.svg",
            caption="../workflow/report/profile.rst",
            category=EMERGENCE,
            labels={"figure": "measure by layer", "collection": "{collection}", "model": "{model}"},
        ),
        pdf="<results>/figures/{collection}/{model}/profile.pdf",
    params:
        measure=CONFIG["layers"]["measure"],
        code=code_digest("plot-profile"),
    log:
        "<logs>/{collection}/{model}/plot_profile.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank plot-profile --profile {input.profile} --evaluation {input.evaluation}"
        " --measure {params.measure:q} --first-stage bm25 --all-layers listwise-attention-all --ceiling ceiling"
        " --selections {input.selections} --shape {input.shape} --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_sweep:
    input:
        sweep="<results>/{collection}/{model}/layers/sweep.tsv",
        evaluation="<results>/{collection}/{model}/evaluation/base.tsv",
        selections=selections_of,
    output:
        svg=report(
            "<results>/figures/{collection}/{model}/sweep.svg",
            caption="../workflow/report/sweep.rst",
            category=WINDOWS,
            labels={"figure": "measure by window", "collection": "{collection}", "model": "{model}"},
        ),
        pdf="<results>/figures/{collection}/{model}/sweep.pdf",
    params:
        measure=CONFIG["layers"]["measure"],
        windows=[window for window in CONFIG["systems"]["cached_windows"] if window.startswith("L")],
        code=code_digest("plot-sweep"),
    log:
        "<logs>/{collection}/{model}/plot_sweep.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank plot-sweep --sweep {input.sweep} --evaluation {input.evaluation}"
        " --measure {params.measure:q} --first-stage bm25 --selections {input.selections} --windows {params.windows}"
        " --title '{wildcards.model} on {wildcards.collection}' --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_neighbours:
    input:
        "<results>/{collection}/{model}/layers/neighbours.tsv",
    output:
        svg=report(
            "<results>/figures/{collection}/{model}/neighbours.svg",
            caption="../workflow/report/neighbours.rst",
            category=EMERGENCE,
            labels={"figure": "agreement of neighbouring layers", "collection": "{collection}", "model": "{model}"},
        ),
        pdf="<results>/figures/{collection}/{model}/neighbours.pdf",
    params:
        code=code_digest("plot-neighbours"),
    log:
        "<logs>/{collection}/{model}/plot_neighbours.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank plot-neighbours --table {input} --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_depth:
    input:
        profiles=every("<results>/{collection}/{model}/layers/profile.tsv", ["base"]),
        means="<results>/tables/means.tsv",
    output:
        svg=report(
            "<results>/figures/depth.svg",
            caption="../workflow/report/depth.rst",
            category=EMERGENCE,
            labels={"figure": "relative depth, all models and collections", "collection": "all", "model": "all"},
        ),
        pdf="<results>/figures/depth.pdf",
    params:
        measure=CONFIG["layers"]["measure"],
        collections=every("{collection}", ["base"]) if len(MODELS) == 1 else [c for c in COLLECTIONS for _ in MODELS],
        models=[model for _ in COLLECTIONS for model in MODELS],
        code=code_digest("plot-depth"),
    log:
        "<logs>/plot_depth.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank plot-depth --profiles {input.profiles} --collections {params.collections}"
        " --models {params.models} --measure {params.measure:q} --means {input.means}"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_effectiveness:
    input:
        "<results>/tables/means.tsv",
    output:
        svg=report(
            "<results>/figures/effectiveness.{variant}.svg",
            caption="../workflow/report/effectiveness.rst",
            category=EFFECTIVENESS,
            labels={"item": "all systems (figure)", "variant": "{variant}"},
        ),
        pdf="<results>/figures/effectiveness.{variant}.pdf",
    params:
        measure=LEAD_MEASURE,
        baseline=CONFIG["evaluation"]["baseline"],
        code=code_digest("plot-effectiveness"),
    log:
        "<logs>/plot_effectiveness.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank plot-effectiveness --means {input} --measure {params.measure:q}"
        " --variant {wildcards.variant} --baseline {params.baseline} --output {output.svg} --pdf {output.pdf} 2> {log}"


rule plot_pareto:
    input:
        means="<results>/tables/means.tsv",
        costs=cost_files,
    output:
        svg=report(
            "<results>/figures/{collection}/{model}/pareto.{variant}.svg",
            caption="../workflow/report/pareto.rst",
            category=COST,
            labels={"figure": "quality against cost", "collection": "{collection}", "model": "{model}"},
        ),
        pdf="<results>/figures/{collection}/{model}/pareto.{variant}.pdf",
    params:
        measure=LEAD_MEASURE,
        code=code_digest("plot-pareto"),
    log:
        "<logs>/{collection}/{model}/plot_pareto.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank plot-pareto --means {input.means} --costs {input.costs} --cost seconds"
        " --measure {params.measure:q} --collections {wildcards.collection} --models {wildcards.model}"
        " --variant {wildcards.variant} --title '{wildcards.model} on {wildcards.collection}'"
        " --output {output.svg} --pdf {output.pdf} 2> {log}"


rule effectiveness_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        tsv=report(
            "<results>/tables/effectiveness.{variant}.tsv",
            caption="../workflow/report/effectiveness_table.rst",
            category=EFFECTIVENESS,
            labels={"item": "all systems (data)", "variant": "{variant}"},
        ),
        html=report(
            "<results>/tables/effectiveness.{variant}.html",
            caption="../workflow/report/effectiveness_table.rst",
            category=EFFECTIVENESS,
            labels={"item": "all systems (table)", "variant": "{variant}"},
        ),
        tex="<results>/tables/effectiveness.{variant}.tex",
        md="<results>/tables/effectiveness.{variant}.md",
    params:
        marks=table_marks,
        measures=measures_of,
        code=code_digest("effectiveness-table"),
    log:
        "<logs>/effectiveness_table.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank effectiveness-table --means {input.means} --comparisons {input.comparisons}"
        " --variant {wildcards.variant} {params.marks} --measures {params.measures} --outputs {output} 2> {log}"


rule grid_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        tsv=report(
            "<results>/tables/grid.tsv",
            caption="../workflow/report/grid_table.rst",
            category=EFFECTIVENESS,
            labels={"item": "frameworks × mechanisms (data)", "variant": GRID},
        ),
        html=report(
            "<results>/tables/grid.html",
            caption="../workflow/report/grid_table.rst",
            category=EFFECTIVENESS,
            labels={"item": "frameworks × mechanisms (table)", "variant": GRID},
        ),
        tex="<results>/tables/grid.tex",
        md="<results>/tables/grid.md",
    params:
        marks=table_marks,
        measure=LEAD_MEASURE,
        variant=GRID,
        code=code_digest("grid-table"),
    log:
        "<logs>/grid_table.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank grid-table --means {input.means} --comparisons {input.comparisons}"
        " --variant {params.variant} {params.marks} --measure {params.measure:q} --outputs {output} 2> {log}"


rule comparison_table:
    input:
        means="<results>/tables/means.tsv",
        comparisons="<results>/tables/comparisons.tsv",
    output:
        tsv=report(
            "<results>/tables/comparison.{variant}.tsv",
            caption="../workflow/report/comparison_table.rst",
            category=EFFECTIVENESS,
            labels={"item": "paired tests (data)", "variant": "{variant}"},
        ),
        html=report(
            "<results>/tables/comparison.{variant}.html",
            caption="../workflow/report/comparison_table.rst",
            category=EFFECTIVENESS,
            labels={"item": "paired tests (table)", "variant": "{variant}"},
        ),
        tex="<results>/tables/comparison.{variant}.tex",
        md="<results>/tables/comparison.{variant}.md",
    params:
        marks=table_marks,
        measure=LEAD_MEASURE,
        code=code_digest("comparison-table"),
    log:
        "<logs>/comparison_table.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank comparison-table --means {input.means} --comparisons {input.comparisons}"
        " --variant {wildcards.variant} {params.marks} --measures {params.measure:q} --outputs {output} 2> {log}"


rule summarise_costs:
    input:
        costs=cost_files,
    output:
        "<results>/{collection}/{model}/evaluation/{variant}.costs.tsv",
    params:
        costs=cost_flags,
        code=code_digest("summarise-costs"),
    log:
        "<logs>/{collection}/{model}/summarise_costs.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank summarise-costs --collection {wildcards.collection} --model {wildcards.model}"
        " --variant {wildcards.variant} --costs {params.costs} --output {output} 2> {log}"


rule cost_table:
    input:
        every("<results>/{collection}/{model}/evaluation/{variant}.costs.tsv", SHOWN),
    output:
        tsv=report(
            "<results>/tables/costs.tsv",
            caption="../workflow/report/costs_table.rst",
            category=COST,
            labels={"figure": "costs of systems (data)", "collection": "all", "model": "all"},
        ),
        html=report(
            "<results>/tables/costs.html",
            caption="../workflow/report/costs_table.rst",
            category=COST,
            labels={"figure": "costs of systems (table)", "collection": "all", "model": "all"},
        ),
        tex="<results>/tables/costs.tex",
        md="<results>/tables/costs.md",
    params:
        code=code_digest("cost-table"),
    log:
        "<logs>/cost_table.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank cost-table --costs {input} --outputs {output} 2> {log}"
