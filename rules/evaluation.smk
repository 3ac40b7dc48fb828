# From runs to figures that can be trusted: per-query values, means with intervals, paired tests.


rule evaluate:
    input:
        qrels="<results>/{collection}/candidates/{variant}.qrels.txt",
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        runs=PATHS.evaluation.runs,
        trained=PATHS.evaluation.trained_runs,
        costs=PATHS.evaluation.costs,
    output:
        values="<results>/{collection}/{model}/evaluation/{variant}.tsv",
        audit="<results>/{collection}/{model}/evaluation/{variant}.audit.tsv",
    log:
        "<logs>/{collection}/{model}/evaluate.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        runs=PATHS.evaluation.of_runs,
        trained=PATHS.evaluation.of_trained,
        measures=CONFIG["evaluation"]["measures"],
        level=PATHS.collections.relevance_level,
        seed=CONFIG["evaluation"]["seed"],
        code=code_digest("evaluate"),
    shell:
        "python -m layerrank evaluate --collection {wildcards.collection} --model {wildcards.model}"
        " --variant {wildcards.variant} --qrels {input.qrels:q} --candidates {input.candidates:q}"
        " --relevance-level {params.level} --measures {params.measures:q} --runs {params.runs:q} {params.trained:q} --costs {input.costs:q}"
        " --seed {params.seed} --output {output.values:q} --audit {output.audit:q} 2> {log:q}"


rule aggregate:
    input:
        PATHS.evaluation.values,
    output:
        "<results>/tables/means.tsv",
    log:
        "<logs>/aggregate.log",
    conda:
        "../envs/analysis.yaml"
    params:
        resampling=PATHS.evaluation.resampling,
        code=code_digest("aggregate"),
    shell:
        "python -m layerrank aggregate --evaluations {input:q} {params.resampling:q} --output {output:q} 2> {log:q}"


rule compare:
    input:
        PATHS.evaluation.values,
    output:
        "<results>/tables/comparisons.tsv",
    log:
        "<logs>/compare.log",
    conda:
        "../envs/analysis.yaml"
    params:
        baseline=CONFIG["evaluation"]["baseline"],
        resampling=PATHS.evaluation.resampling,
        code=code_digest("compare"),
    shell:
        "python -m layerrank compare --evaluations {input:q} --baselines {params.baseline}"
        " {params.resampling:q} --output {output:q} 2> {log:q}"


rule summarise_costs:
    input:
        costs=PATHS.evaluation.costs,
        trained=PATHS.evaluation.trained_costs,
    output:
        "<results>/{collection}/{model}/evaluation/{variant}.costs.tsv",
    log:
        "<logs>/{collection}/{model}/summarise_costs.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        costs=PATHS.evaluation.of_costs,
        trained=PATHS.evaluation.of_trained,
        code=code_digest("summarise-costs"),
    shell:
        "python -m layerrank summarise-costs --collection {wildcards.collection} --model {wildcards.model}"
        " --variant {wildcards.variant} --costs {params.costs:q} --trained {params.trained:q} --output {output:q} 2> {log:q}"


rule sensitivity:
    input:
        PATHS.evaluation.values,
    output:
        "<results>/tables/differences.tsv",
    log:
        "<logs>/sensitivity.log",
    conda:
        "../envs/analysis.yaml"
    params:
        resampling=PATHS.evaluation.resampling,
        against=PATHS.evaluation.held_against,
        code=code_digest("sensitivity"),
    shell:
        "python -m layerrank sensitivity --evaluations {input:q} --against {params.against:q} {params.resampling:q}"
        " --output {output:q} 2> {log:q}"
