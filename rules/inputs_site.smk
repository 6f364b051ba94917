# From a run to the pages and values that the site is made from.

FIGURES = ["heat_map", "learning_curves", "score_curves", "pareto"]


def further_figures():
    """The figures beside Table 1 that this run can draw."""
    swept = any(row in VARIANTS for row in CONTEXT_SWEEP["variants"])
    found = ["context_sweep"] if swept and ROLES[CONTEXT_SWEEP["role"]] else []
    if any(job.task == "networks" for job in JOBS):
        found += ["networks", "truth_overlap"]
    return found


def site_figures(wildcards):
    """Every figure in every form."""
    return expand(
        "results/{scale}/figures/{figure}.{form}",
        scale=wildcards.scale,
        figure=[*FIGURES, *further_figures()],
        form=["png", "pdf", "csv"],
    )


def site_studies(wildcards):
    """The studies of the report: title, score folders and notebooks of one seed of each of its rows that are run."""
    found = []
    for name, study in STUDIES.items():
        rows = reported_rows(study)
        if rows and STUDY_JOBS[name]:
            scores = f"results/{wildcards.scale}/studies/{name}/{{}}/seed_0/scores"
            notebooks = f"studies/{name}/{{}}/seed_0.html"
            found.append(
                {
                    "title": study.title,
                    "metrics": list(study.shows),
                    "scores": [scores.format(row) for row in rows],
                    "notebooks": [notebooks.format(row) for row in rows],
                }
            )
    return found


def site_study_scores(wildcards):
    """The score folders of these studies."""
    return [path for study in site_studies(wildcards) for path in study["scores"]]


def study_folders(wildcards):
    """Predictions and scores of all studies that the site shows or a claim on it reads."""
    claimed = claimed_studies(wildcards).values()
    scores = [path for study in claimed for path in study["scores"]]
    scores = sorted({*site_study_scores(wildcards), *scores})
    return [
        f"{path.removesuffix('scores')}{part}"
        for path in scores
        for part in ("predictions", "scores")
    ]


def sweep_costs(wildcards):
    """What the context sweep has cost, where the site shows it."""
    if "context_sweep" not in further_figures():
        return []
    return [path.replace(".tsv", ".cost.json") for path in context_sweeps(wildcards)]


def site_notebooks(wildcards):
    """The pages of the executed notebooks: of every row and seed, and of the figures."""
    rows = [(row, seed) for row in [*VARIANTS, *BASELINES] for seed in seeds(row)]
    pages = [
        f"{row}/seed_{seed}/{name}.html"
        for row, seed in rows
        for name in notebook_names(row)
    ]
    pages += [f"figures/{name}.html" for name in FIGURES]
    if "context_sweep" in further_figures():
        pages.append("figures/context_sweep.html")
    pages += [page for study in site_studies(wildcards) for page in study["notebooks"]]
    return [f"reports/{wildcards.scale}/{page}" for page in pages]


def notebook_names(row):
    """The notebooks of a row's seed: one of all its tasks where the scale merges them, else one per task and dataset."""
    if SCALE["merged"]:
        return ["gymnasium"] if row in EXPERIMENTS else [BASELINES[row][0]]
    return [f"{job.task}/{job.dataset}" for job in jobs_of(row)]


def site_corpora():
    """The corpora that the chosen rows are trained on, and the baselines learn from."""
    used = {
        BASELINE_CORPUS,
        *(EXPERIMENTS[name]["data"]["corpus"] for name in VARIANTS),
    }
    return {name: CORPORA[name] for name in sorted(used)}


def site_leakage(wildcards):
    """What each of them shares with the test sets."""
    return [
        f"results/{wildcards.scale}/corpora/{name}_leakage.tsv"
        for name in site_corpora()
    ]


def site_datasets():
    """What the registry says about every dataset of these corpora and every test set, and what each is used for."""
    used = {}
    for corpus, names in site_corpora().items():
        for name in names:
            used.setdefault(name, []).append(f"corpus {corpus}")
    for job in JOBS:
        words = used.setdefault(job.dataset, [])
        if f"test: {job.task}" not in words:
            words.append(f"test: {job.task}")
    return [
        DATASETS[name].to_row() | {"used_as": ", ".join(words)}
        for name, words in used.items()
    ]


def site_changes():
    """The settings in which each row differs from its reference."""
    known = overlay.list_variants(CONFIG)
    return {
        name: overlay.difference(EXPERIMENTS[name], EXPERIMENTS[known[name].reference])
        for name in VARIANTS
    }
