# Names and wildcards that the rules share. No rules; the logic behind them is layerrank.study.
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.sourcecache import LocalSourceFile

if not isinstance(workflow.current_basedir, LocalSourceFile):
    raise WorkflowError("layerrank runs from a checkout: clone it, name its Snakefile")
BASE = Path(workflow.current_basedir).parent
sys.path.insert(0, str(BASE / "src"))
os.environ.update(LAYERRANK_BASE=str(BASE))

from layerrank.core import files
from layerrank.core.errors import UserError
from layerrank.study import slurm
from layerrank.study.code import TOLD, code_digest, told
from layerrank.study.load import load_study
from layerrank.study.paths import for_planning
from layerrank.study.results import check_results
from layerrank.study.paths.words import as_json, one_of

slurm.steady()
try:
    STUDY = load_study(config, BASE, workflow.configfiles)
    CONFIG = STUDY.config
    CACHE = str(workflow.modifier.modify_path(CONFIG["cache"]))
    PATHS = for_planning(STUDY, BASE, Path(CACHE))
    PATHS.models.folders, PATHS.collections.sources  # a folder or file that is absent, or another one, ends here
    check_results(STUDY, Path(str(workflow.modifier.modify_path(CONFIG["results"]))))
except UserError as error:
    raise WorkflowError(str(error)) from None

LEAD_MEASURE, GRID = CONFIG["evaluation"]["measures"][0], CONFIG["systems"]["variant"]
every, ranked = PATHS.every, PATHS.ranked
figure, table, answer = PATHS.items.figure, PATHS.items.table, PATHS.items.answer

EXPLORER = "0. Explorer"
EFFECTIVENESS = "1. Effectiveness"
EMERGENCE = "2. Where relevance emerges"
WINDOWS = "3. Window choice"
COST = "4. Cost"
PLACE = "5. Relevance or place"
DIAGNOSTICS = "6. Diagnostics"


pathvars:
    results=CONFIG["results"],
    resources=CONFIG["cache"],
    logs=str(Path(CONFIG["results"], "logs")),


wildcard_constraints:
    **dict.fromkeys(["shard", "shards"], r"\d+"),
    collection=one_of(STUDY.collections),
    model=one_of(STUDY.models),
    variant=one_of(PATHS.attention.variants),
    selection=one_of(PATHS.layers.selections),
    heads=one_of(PATHS.heads.rules),
    system="[A-Za-z0-9_-]+",
    kind="collection|model",
    fixed=one_of([*STUDY.collections, *STUDY.models]),
    identity="[0-9a-f]{12}",


# A shell line is a subcommand, run by the python of the rule's environment, or else by the one that runs Snakemake.
OTHERS = workflow.deployment_settings.deployment_method
OWN_PYTHON = "" if OTHERS else f"{shlex.quote(str(Path(sys.executable).parent))}:"
# Where models are served is no parameter of a job: what is served there is asked of the server itself.
SERVED = shlex.join(PATHS.models.served_flags(Path(CONFIG["results"])))
shell.prefix(
    "set -euo pipefail; "
    f"export PATH={OWN_PYTHON}$PATH; "
    f"export PYTHONPATH={shlex.quote(str(BASE / 'src'))}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
    f"export LAYERRANK_BASE={shlex.quote(str(BASE))} LAYERRANK_CACHE={shlex.quote(CACHE)} {TOLD}={told('rerank', 'extract-attention')}; "
    f"SERVED=({SERVED.replace('{', '{{').replace('}', '}}')}); "
)
