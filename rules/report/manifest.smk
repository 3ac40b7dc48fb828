# What else could explain the figures of a study, and what it can be repeated from, beside its results and in the report.


rule answer_caveats:
    input:
        correlations=every(
            "<results>/{collection}/{model}/diagnostics/correlations.tsv"
        ),
        audits=every("<results>/{collection}/{model}/evaluation/base.audit.tsv"),
        costs=every(
            "<results>/{collection}/{model}/evaluation/{variant}.costs.tsv",
            PATHS.evaluation.shown,
        ),
        means="<results>/tables/means.tsv",
        figure=every("<results>/figures/{collection}/{model}/diagnostics.svg")[0],
    output:
        answer("caveats", DIAGNOSTICS),
    log:
        "<logs>/answer_caveats.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        measure=LEAD_MEASURE,
        links=PATHS.explorer.answer_links,
        code=code_digest("answer-caveats"),
    shell:
        "python -m layerrank answer-caveats --correlations {input.correlations:q} --audits {input.audits:q}"
        " --costs {input.costs:q} --means {input.means:q} --measure {params.measure:q}"
        " --figure {input.figure:q} --links {params.links:q} --output {output:q} 2> {log:q}"


rule manifest:
    input:
        collections=expand(
            "<results>/{collection}/collection/collection.json",
            collection=STUDY.collections,
        ),
        first_stages=expand(
            "<results>/{collection}/first_stage/counts.json",
            collection=STUDY.collections,
        ),
        models=PATHS.models.folders.values(),
        trials=PATHS.models.trials,
        signals=PATHS.attention.signals,
        files=["<results>/tables/means.tsv", "<results>/tables/comparisons.tsv"],
    output:
        manifest="<results>/manifest.json",
        provenance=report(
            "<results>/provenance.tsv",
            caption="../../workflow/report/manifest.rst",
            category=DIAGNOSTICS,
            labels={"item": "provenance"},
        ),
    log:
        "<logs>/manifest.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        study=PATHS.report.settings,
        collections=PATHS.collections.of_collections,
        first_stages=PATHS.collections.of_first_stages,
        models=PATHS.models.of_models,
        trials=PATHS.models.of_trials,
        code=code_digest("manifest"),
    shell:
        "python -m layerrank manifest --study {params.study:q} --collections {params.collections:q}"
        " --first-stages {params.first_stages:q} --models {params.models:q} --trials {params.trials:q} --signals {input.signals:q} --files {input.files:q}"
        " --output {output.manifest:q} --provenance {output.provenance:q} 2> {log:q}"
