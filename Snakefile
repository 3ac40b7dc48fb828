# Where in a language model's layers does relevance emerge? The study at a glance: README.md, config/README.md.

from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.current_basedir}/config/config.yaml"


include: "rules/common.smk"
include: "rules/common_windows.smk"
include: "rules/common_runs.smk"
include: "rules/common_report.smk"
include: "rules/collections.smk"
include: "rules/retrieve.smk"
include: "rules/models.smk"
include: "rules/attention.smk"
include: "rules/windows.smk"
include: "rules/rerank.smk"
include: "rules/evaluate.smk"
include: "rules/latency.smk"
include: "rules/report_effectiveness.smk"
include: "rules/report_emergence.smk"
include: "rules/report_windows.smk"
include: "rules/report_cost.smk"
include: "rules/report_diagnostics.smk"
include: "rules/report.smk"


report: "workflow/report/workflow.rst"


# Until a run has ended well, long jobs keep what they have finished: a killed Snakemake would delete it as incomplete.
onsuccess:
    files.forget_kept(Path(CONFIG["results"]))


rule all:
    default_target: True
    input:
        study_answers(),
        study_figures(),
        study_tables(),
        "<results>/manifest.json",


rule fetch:
    input:
        study_downloads(),


# Whether every prompt fits its model, for all pairs at once and before any GPU is asked for.
rule prompts:
    input:
        every("<results>/{collection}/{model}/prompts/{variant}.json", VARIANTS),
