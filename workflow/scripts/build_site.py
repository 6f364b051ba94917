"""Put the results of a run together as a website."""

import sys
from pathlib import Path

from scprint2.site.beyond import StudyScores
from scprint2.site.build import Sources, build_site
from scprint2.table import build_table1, read_costs
from scprint2.tasks.scores import read_all_scores

sys.stderr = open(snakemake.log[0], "w", buffering=1)
files, params = snakemake.input, snakemake.params
reports = Path(params.reports)
written = [
    *map(Path, files.data_pages),
    *reports.glob("datasets/*.html"),
]  # the pages of chunks are written with their list
sources = Sources(
    table=build_table1(
        read_all_scores(files.scores),
        params.rows,
        columns=params.columns,
        costs=read_costs(files.models),
    ),
    changes=params.changes,
    costs=Path(files.costs),
    study_costs=Path(files.study_costs),
    equal_budget=Path(files.equal_budget),
    figures=Path(files.figures[0]).parent,
    further=params.further,
    studies=[
        StudyScores(
            study["title"], tuple(study["metrics"]), tuple(map(Path, study["scores"])), tuple(study["notebooks"])
        )
        for study in params.studies
    ],
    reports=reports,
    notebooks=[str(Path(path).relative_to(reports)) for path in files.notebooks],
    data_pages=sorted({str(path.relative_to(reports)) for path in written}),
    comparison=Path(files.comparison),
    claims=Path(files.claims),
    metrics=Path(files.metrics),
    tables=[Path(path) for path in files.tables],
    datasets=params.datasets,
    corpora=params.corpora,
    leakage=dict(zip(params.corpora, map(Path, files.leakage), strict=True)),
    lock=Path(files.lock),
    models=[Path(path) for path in files.models],
)
build_site(sources, Path(snakemake.output[0]))
