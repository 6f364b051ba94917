# What the trained models and the baselines can do: predictions, then scores in executed notebooks. Where models are tiny (`merged`
# of the scale) both are the sections of one notebook per row and seed, and the baselines of a task share a job and a kernel; else a
# job per task and dataset, predictions on GPUs and scores on CPUs. The rows of baselines have the name of the baseline in the place
# of the variant.


rule predict_and_evaluate:
    input:
        model="results/{scale}/models/{variant}/seed_{seed}",
        files=job_files(JOBS),
        seen=seen_cells,
        controls=control_table,
        notebooks=[
            "workflow/notebooks/predict.ipynb",
            *(task["notebook"] for task in TASKS.values()),
        ],
        runner="workflow/scripts/run_notebook.py",
    output:
        predictions=job_paths(PREDICTION_FILE, JOBS),
        scores=job_paths(SCORE_FILE, JOBS),
        costs=job_paths(COST_FILE, JOBS),
        notebook="reports/{scale}/{variant}/seed_{seed}/gymnasium.ipynb",
        page=report(
            "reports/{scale}/{variant}/seed_{seed}/gymnasium.html",
            caption="../workflow/report/gymnasium.rst",
            category="Gymnasium",
            labels={"row": "{variant}", "seed": "{seed}"},
        ),
    log:
        text="results/{scale}/logs/predict_and_evaluate/{variant}/seed_{seed}.log",
        notebook="results/{scale}/logs/predict_and_evaluate/{variant}/seed_{seed}.ipynb",
    wildcard_constraints:
        scale=MERGED,
        variant=MODEL_ROWS,
    conda:
        "../envs/notebooks.yaml"
    params:
        jobs=job_text(JOBS),
        predictions="results/{scale}/predictions/{variant}/seed_{seed}",
        scores="results/{scale}/scores/{variant}/seed_{seed}",
    shell:
        "python {input.runner} {input.notebooks} --log {log.notebook} --out {output.notebook}"
        " --files predictions {output.predictions}"
        " --parameters model={input.model} jobs={params.jobs:q} out={params.predictions} scores={params.scores}"
        " seen={input.seen} controls={input.controls}"
        " scale={wildcards.scale} variant={wildcards.variant} seed={wildcards.seed} > {log.text} 2>&1"


for group, (task, rows) in baseline_groups().items():

    rule:
        name:
            f"predict_and_evaluate_{group}"
        input:
            corpus=baseline_corpus,
            files=job_files(jobs_of(rows[0])),
            seen=seen_cells,
            controls=[] if rows[0] in CONTROLS else control_table,
            notebooks=["workflow/notebooks/predict.ipynb", TASKS[task]["notebook"]],
            runner="workflow/scripts/run_notebook.py",
        output:
            predictions=row_paths(PREDICTION_FILE, rows),
            scores=row_paths(SCORE_FILE, rows),
            costs=row_paths(COST_FILE, rows),
            notebooks=row_paths(
                f"reports/{{scale}}/{{variant}}/seed_{{seed}}/{task}.ipynb", rows
            ),
            pages=[
                report(
                    f"reports/{{scale}}/{row}/seed_{{seed}}/{task}.html",
                    caption="../workflow/report/gymnasium.rst",
                    category="Gymnasium",
                    labels={"row": row, "seed": "{seed}"},
                )
                for row in rows
            ],
        log:
            f"results/{{scale}}/logs/predict_and_evaluate/{group}_seed_{{seed}}.log",
            row_paths(
                "results/{scale}/logs/predict_and_evaluate/{variant}/seed_{seed}.ipynb",
                rows,
            ),
        wildcard_constraints:
            scale=MERGED,
        conda:
            "../envs/notebooks.yaml"
        params:
            jobs=job_text(jobs_of(rows[0])),
            predictions=in_each_row(PREDICTION_FILE, jobs_of(rows[0])),
            rows=rows,
            task=task,
        shell:
            "python {input.runner} {input.notebooks}"
            " --log results/{wildcards.scale}/logs/predict_and_evaluate/ROW/seed_{wildcards.seed}.ipynb"
            " --out reports/{wildcards.scale}/ROW/seed_{wildcards.seed}/{params.task}.ipynb"
            " --files predictions {params.predictions}"
            " --parameters baseline=ROW corpus={input.corpus} jobs={params.jobs:q}"
            " out=results/{wildcards.scale}/predictions/ROW/seed_{wildcards.seed}"
            " scores=results/{wildcards.scale}/scores/ROW/seed_{wildcards.seed}"
            " seen={input.seen} controls={input.controls}"
            " scale={wildcards.scale} variant=ROW seed={wildcards.seed}"
            " --rows {params.rows} > {log[0]} 2>&1"


rule predict:
    input:
        model="results/{scale}/models/{variant}/seed_{seed}",
        files=find_job_files,
        seen=seen_cells,
    output:
        PREDICTION_FILE,
    log:
        "results/{scale}/logs/predict/{variant}/seed_{seed}/{task}/{dataset}.log",
    wildcard_constraints:
        scale=SEPARATE,
        variant=MODEL_ROWS,
    group:
        "predict_{variant}_{seed}"
    conda:
        "../envs/scprint2.yaml"
    params:
        jobs=find_job_text,
        predictions="results/{scale}/predictions/{variant}/seed_{seed}",
    shell:
        "scprint2 predict --model {input.model} --jobs {params.jobs:q} --seed {wildcards.seed}"
        " --out {params.predictions} --seen='{input.seen}' > {log} 2>&1"


rule predict_baseline:
    input:
        corpus=baseline_corpus,
        files=find_job_files,
        seen=seen_cells,
    output:
        PREDICTION_FILE,
    log:
        "results/{scale}/logs/predict_baseline/{variant}/seed_{seed}/{task}/{dataset}.log",
    wildcard_constraints:
        scale=SEPARATE,
        variant=BASELINE_ROWS,
    conda:
        "../envs/notebooks.yaml"
    params:
        jobs=find_job_text,
        predictions="results/{scale}/predictions/{variant}/seed_{seed}",
    shell:
        "scprint2 predict --baseline {wildcards.variant} --corpus {input.corpus} --jobs {params.jobs:q}"
        " --seed {wildcards.seed} --out {params.predictions} --seen='{input.seen}' > {log} 2>&1"


rule evaluate:
    input:
        prediction=PREDICTION_FILE,
        controls=control_table,
        notebook=find_notebook,
        runner="workflow/scripts/run_notebook.py",
    output:
        scores=SCORE_FILE,
        cost=COST_FILE,
        notebook="reports/{scale}/{variant}/seed_{seed}/{task}/{dataset}.ipynb",
        page=report(
            "reports/{scale}/{variant}/seed_{seed}/{task}/{dataset}.html",
            caption="../workflow/report/gymnasium.rst",
            category="Gymnasium",
            labels={
                "row": "{variant}",
                "seed": "{seed}",
                "task": "{task}",
                "dataset": "{dataset}",
            },
        ),
    log:
        text="results/{scale}/logs/evaluate/{variant}/seed_{seed}/{task}/{dataset}.log",
        notebook="results/{scale}/logs/evaluate/{variant}/seed_{seed}/{task}/{dataset}.ipynb",
    wildcard_constraints:
        scale=SEPARATE,
    group:
        "evaluate_{variant}_{seed}"
    conda:
        "../envs/notebooks.yaml"
    params:
        scores="results/{scale}/scores/{variant}/seed_{seed}",
    shell:
        "python {input.runner} {input.notebook} --log {log.notebook} --out {output.notebook}"
        " --files predictions {input.prediction} --parameters scores={params.scores} scale={wildcards.scale} controls={input.controls}"
        " variant={wildcards.variant} seed={wildcards.seed} > {log.text} 2>&1"
