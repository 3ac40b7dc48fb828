# From runs to figures that can be trusted: per-query values, means with intervals, paired tests.


def system_runs(wildcards):
    """Runs of every system of a collection, model and variant."""
    folder = f"<results>/{wildcards.collection}/{wildcards.model}/runs/{wildcards.variant}"
    return [f"{folder}/{name}.txt" for name in studies.systems(STUDY, wildcards.variant)]


def system_flags(wildcards, input):
    return " ".join(f"{Path(run).stem}={run}" for run in input.runs)


rule evaluate:
    input:
        qrels="<results>/{collection}/candidates/{variant}.qrels.txt",
        candidates="<results>/{collection}/candidates/{variant}.jsonl.gz",
        runs=system_runs,
    output:
        "<results>/{collection}/{model}/evaluation/{variant}.tsv",
    params:
        runs=system_flags,
        measures=measures_of,
        level=relevance_level_of,
        code=code_digest("evaluate"),
    log:
        "<logs>/{collection}/{model}/evaluate.{variant}.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank evaluate --collection {wildcards.collection} --model {wildcards.model}"
        " --variant {wildcards.variant} --qrels {input.qrels} --candidates {input.candidates}"
        " --relevance-level {params.level} --measures {params.measures} --runs {params.runs} --output {output} 2> {log}"


rule aggregate:
    input:
        every("<results>/{collection}/{model}/evaluation/{variant}.tsv"),
    output:
        "<results>/tables/means.tsv",
    params:
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("aggregate"),
    log:
        "<logs>/aggregate.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank aggregate --evaluations {input} --seed {params.seed} --resamples {params.resamples}"
        " --output {output} 2> {log}"


rule compare:
    input:
        every("<results>/{collection}/{model}/evaluation/{variant}.tsv"),
    output:
        "<results>/tables/comparisons.tsv",
    params:
        baseline=CONFIG["evaluation"]["baseline"],
        seed=CONFIG["evaluation"]["seed"],
        resamples=CONFIG["evaluation"]["resamples"],
        code=code_digest("compare"),
    log:
        "<logs>/compare.log",
    conda:
        "../envs/analysis.yaml"
    shell:
        "python -m layerrank compare --evaluations {input} --baselines {params.baseline}"
        " --seed {params.seed} --resamples {params.resamples} --output {output} 2> {log}"
