# From the claims ledger to what its tests read beside Table 1: trainings and listings, which every run has, and, for `claims_all` alone,
# studies, sweeps, what trainings have seen, known networks and datasets, which no part of Table 1 makes.
from scprint2 import claims_sources

WITH_ALL = "claims_all"
HOW_TO = f"Not run; `make report` does, or, alone: snakemake --profile profiles/local results/{WITH_ALL}.html"


def claimed_tests():
    """The tests of all claims."""
    claims = overlay.read_yaml(CONFIG / "paper" / "claims.yaml")["claims"]
    return [claim["test"] for claim in claims]


def claimed_counts(of):
    """The tests that count something of a kind."""
    return [
        test for test in claimed_tests() if test["kind"] == "count" and test["of"] == of
    ]


def claimed_listings(wildcards):
    """The frozen listings in which claims count datasets."""
    counts = claimed_counts(claims_sources.LISTINGS)
    names = {path.split(".")[0] for test in counts for path in test["values"]}
    return {
        name: [str(CONFIG / inventory.MANIFESTS / f"{name}.tsv")]
        for name in sorted(names)
    }


def claimed_settings(wildcards):
    """What claims look for settings in, by value: experiments at the paper's scale, that scale itself, and so on."""
    names = {test["of"] for test in claimed_tests() if test["kind"] == "setting"}
    names.discard(claims_sources.CODE)
    return {
        name: claims_sources.read_paper_settings(CONFIG, name) for name in sorted(names)
    }


def claimed_trainings(wildcards):
    """The trained rows in which claims count something: the model of the first seed and the corpus."""
    counts = claimed_counts(claims_sources.TRAININGS)
    rows = {row for test in counts for row in claims_sources.named_rows(test)}
    return {
        row: [
            f"results/{wildcards.scale}/models/{row}/seed_0",
            f"results/{wildcards.scale}/corpora/{EXPERIMENTS[row]['data']['corpus']}.json",
        ]
        for row in VARIANTS
        if row in rows
    }


def tests_reading(source):
    """The tests that read something beside Table 1, if all rows are run whose scores they need."""
    run = {*VARIANTS, *BASELINES}
    return [
        test
        for test in claimed_tests()
        if source in claims_sources.further_sources(test)
        and run.issuperset(claims_sources.named_rows(test))
    ]


def counted_in(source):
    """The rows, datasets or known networks in which claims count something."""
    return {
        path.split(".")[0] for test in tests_reading(source) for path in test["values"]
    }


def claimed_figures(wildcards):
    """The tables behind the figures that claims read."""
    networks = {truth for names in compared_truths().values() for truth in names}
    wanted = {
        claims_sources.SWEEP: tests_reading(claims_sources.SWEEP),
        claims_sources.OVERLAP: networks & counted_in(claims_sources.OVERLAP),
    }
    return {
        name: f"results/{wildcards.scale}/figures/{name}.csv"
        for name in further_figures()
        if wanted.get(name)
    }


def claimed_draws(wildcards):
    """What the first training of each row has seen whose cells claims count."""
    return {
        row: [f"results/{wildcards.scale}/draws/{row}/seed_0.json"]
        for row in sorted(counted_in(claims_sources.DRAWS))
    }


def claimed_truths(wildcards):
    """Known networks as published, of those that claims count, where their file can be had."""
    names = counted_in(claims_sources.PUBLISHED)
    return {
        name: [f"resources/{wildcards.scale}/truth/{name}.tsv.gz"]
        for name, source in TRUTHS.items()
        if name in names and source.is_within_reach(config["mirror"])
    }


def claimed_datasets(wildcards):
    """What is known of the cells of the test sets in which claims count something."""
    names = counted_in(claims_sources.DATASETS)
    return {
        name: [f"results/{wildcards.scale}/datasets/{name}/read.parquet"]
        for name in TEST_DATASETS
        if name in names
    }


def claimed_studies(wildcards):
    """Studies that claims read: their datasets, and the scores of every seed of the rows that are named."""
    found = {}
    for study, jobs in STUDY_JOBS.items():
        tests = tests_reading(claims_sources.STUDY + study) if jobs else []
        rows = {row for test in tests for row in claims_sources.named_rows(test)}
        if rows:
            found[study] = {
                "datasets": [job.dataset for job in jobs],
                "scores": [
                    f"results/{wildcards.scale}/studies/{study}/{row}/seed_{seed}/scores"
                    for row, seed in with_seeds(sorted(rows))
                ],
            }
    return found


def counted_beside(wildcards):
    """What claims count that no part of Table 1 makes: kind to name to files."""
    return {
        claims_sources.DRAWS: claimed_draws(wildcards),
        claims_sources.PUBLISHED: claimed_truths(wildcards),
        claims_sources.DATASETS: claimed_datasets(wildcards),
    }


def counted_sources(wildcards):
    """All that claims count, as far as they are to be held against it."""
    further = counted_beside(wildcards) if wildcards.claims == WITH_ALL else {}
    return further | {
        claims_sources.TRAININGS: claimed_trainings(wildcards),
        claims_sources.LISTINGS: claimed_listings(wildcards),
    }


def counted_files(wildcards):
    """The files in which they count."""
    kinds = counted_sources(wildcards).values()
    return [path for names in kinds for files in names.values() for path in files]


def further_sources(wildcards):
    """Figures and studies that claims read; nothing where they are held against Table 1 alone."""
    if wildcards.claims != WITH_ALL:
        return {"figures": {}, "studies": {}}
    return {
        "figures": claimed_figures(wildcards),
        "studies": claimed_studies(wildcards),
    }


def further_files(wildcards):
    """The files of these."""
    further = further_sources(wildcards)
    folders = [
        path for study in further["studies"].values() for path in study["scores"]
    ]
    return [*further["figures"].values(), *folders]


def why_not_made(source):
    """Why this run cannot make what some tests read."""
    tests = claimed_tests()
    tests = [test for test in tests if source in claims_sources.further_sources(test)]
    rows = {row for test in tests for row in claims_sources.named_rows(test)}
    others = sorted(rows.difference(VARIANTS, BASELINES))
    if others and not tests_reading(source):
        return f"Not run: without the rows {', '.join(others)}, which it is about."
    return f"Not run: the scale {config['scale']} has no data of this kind."


def absent_sources(wildcards):
    """What is not there for the tests of claims: how it is made, or why this run cannot make it."""
    made = {
        *claimed_figures(wildcards),
        *(of for of, names in counted_beside(wildcards).items() if names),
        *(claims_sources.STUDY + study for study in claimed_studies(wildcards)),
    }
    wanted = {
        source
        for test in claimed_tests()
        for source in claims_sources.further_sources(test)
    }
    absent = {source: why_not_made(source) for source in sorted(wanted - made)}
    if wildcards.claims != WITH_ALL:
        absent |= dict.fromkeys(sorted(made), HOW_TO)
    return absent
