# From runs to figures that can be trusted: per-query values, means with intervals, paired tests.


rule evaluate:
    input:
        qrels="<results>/{collection}/candidates/{variant}.qrels.txt",
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        runs=system_runs,
    output:
        "<results>/{collection}/{model}/evaluation/{variant}.tsv",
    log:
        "<logs>/{collection}/{model}/evaluate.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        runs=system_flags,
        measures=measures_of,
        level=relevance_level_of,
        code=code_digest("evaluate"),
    shell:
        "python -m layerrank evaluate --collection {wildcards.collection} --model {wildcards.model}"
        " --variant {wildcards.variant} --qrels {input.qrels} --candidates {input.candidates}"
        " --relevance-level {params.level} --measures {params.measures} --runs {params.runs} --output {output} 2> {log}"


rule aggregate:
    input:
        every("<results>/{collection}/{model}/evaluation/{variant}.tsv", VARIANTS),
    output:
        "<results>/tables/means.tsv",
    log:
        "<logs>/aggregate.log",
    conda:
        "../envs/analysis.yaml"
    params:
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("aggregate"),
    shell:
        "python -m layerrank aggregate --evaluations {input} --seed {params.seed} --resamples {params.resamples}"
        " --output {output} 2> {log}"


rule compare:
    input:
        every("<results>/{collection}/{model}/evaluation/{variant}.tsv", VARIANTS),
    output:
        "<results>/tables/comparisons.tsv",
    log:
        "<logs>/compare.log",
    conda:
        "../envs/analysis.yaml"
    params:
        baseline=CONFIG["evaluation"]["baseline"],
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("compare"),
    shell:
        "python -m layerrank compare --evaluations {input} --baselines {params.baseline}"
        " --seed {params.seed} --resamples {params.resamples} --output {output} 2> {log}"


rule summarise_costs:
    input:
        costs=cost_files,
    output:
        "<results>/{collection}/{model}/evaluation/{variant}.costs.tsv",
    log:
        "<logs>/{collection}/{model}/summarise_costs.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        costs=cost_flags,
        code=code_digest("summarise-costs"),
    shell:
        "python -m layerrank summarise-costs --collection {wildcards.collection} --model {wildcards.model}"
        " --variant {wildcards.variant} --costs {params.costs} --output {output} 2> {log}"


rule sensitivity:
    input:
        every("<results>/{collection}/{model}/evaluation/{variant}.tsv", VARIANTS),
    output:
        "<results>/tables/differences.tsv",
    log:
        "<logs>/sensitivity.log",
    conda:
        "../envs/analysis.yaml"
    params:
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("sensitivity"),
    shell:
        "python -m layerrank sensitivity --evaluations {input} --seed {params.seed} --resamples {params.resamples}"
        " --output {output} 2> {log}"


rule diagnose:
    input:
        qrels="<results>/{collection}/candidates/base.qrels.txt",
        candidates="<results>/{collection}/candidates/base.jsonl.gz",
        signal=base_signal,
        runs="<results>/{collection}/{model}/runs/base/listwise-attention-all.txt",
    output:
        position="<results>/{collection}/{model}/diagnostics/position.tsv",
        length="<results>/{collection}/{model}/diagnostics/length.tsv",
        correlations="<results>/{collection}/{model}/diagnostics/correlations.tsv",
    log:
        "<logs>/{collection}/{model}/diagnose.log",
    conda:
        "../envs/analysis.yaml"
    params:
        seed=CONFIG["evaluation"]["seed"],
        code=code_digest("diagnose"),
    shell:
        "python -m layerrank diagnose --collection {wildcards.collection} --model {wildcards.model} --qrels {input.qrels}"
        " --candidates {input.candidates} --signal {input.signal} --runs listwise-attention-all={input.runs}"
        " --seed {params.seed} --position {output.position} --length {output.length}"
        " --correlations {output.correlations} 2> {log}"
