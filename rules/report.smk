# What the study can be repeated from, beside its results and in the report.


def study_settings():
    """The configuration with its defaults, and the catalogue entries that it names."""
    return as_json(
        {"config": CONFIG, "collections": STUDY.collections, "models": STUDY.models}
    )


def described_collections(wildcards, input):
    return " ".join(
        f"{name}={path}" for name, path in zip(COLLECTIONS, input.collections)
    )


def described_models(wildcards, input):
    return " ".join(f"{name}={path}" for name, path in zip(MODELS, input.models))


rule manifest:
    input:
        collections=expand(
            "<results>/{collection}/collection/collection.json", collection=COLLECTIONS
        ),
        models=expand("<resources>/models/{model}", model=MODELS),
        signals=[
            path
            for c in COLLECTIONS
            for m in MODELS
            for v in VARIANTS
            for path in signal_of(c, m, v)
        ],
        files=["<results>/tables/means.tsv", "<results>/tables/comparisons.tsv"],
    output:
        manifest="<results>/manifest.json",
        provenance=report(
            "<results>/provenance.tsv",
            caption="../workflow/report/manifest.rst",
            category=DIAGNOSTICS,
            labels={"item": "provenance"},
        ),
    log:
        "<logs>/manifest.log",
    conda:
        "../envs/analysis.yaml"
    params:
        study=study_settings(),
        collections=described_collections,
        models=described_models,
        code=code_digest("manifest"),
    shell:
        "python -m layerrank manifest --study {params.study:q} --collections {params.collections}"
        " --models {params.models} --signals {input.signals} --files {input.files}"
        " --output {output.manifest} --provenance {output.provenance} 2> {log}"
