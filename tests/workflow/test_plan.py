"""What would run: for each scale, with each profile, and after changes that do or do not change a value."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from benchmarks.planning import NUMBERS, simulate_listing

from scprint2.data.chunk_plan import plan_chunks
from scprint2.data.inventory import Inventory
from scprint2.data.manifests import write_manifest
from tests.workflow.project import ROOT, SETTINGS, Project, add_tiny_scale

TARGET = "results/table1.csv"
RULES = [path.read_text() for path in sorted((ROOT / "rules").glob("*.smk"))]


def variants() -> list[str]:
    return [path.stem for path in (ROOT / "config/variants").glob("*.yaml")]


def test_mini_trains_every_variant_with_its_seeds(project):
    seeds = yaml.safe_load((ROOT / "config/scales/mini.yaml").read_text())["seeds"]
    jobs = project.plan(TARGET)
    assert jobs["pretrain"] == sum(seeds.get(name, seeds["default"]) for name in variants())
    assert jobs["predict_and_evaluate"] == jobs["pretrain"]
    assert jobs["table1"] == 1


def test_more_seeds_than_the_scale_has_are_trained_where_they_are_asked_for(project):
    own = yaml.safe_load((ROOT / "config/scales/mini.yaml").read_text())["seeds"]
    assert max(own.values()) < 5
    jobs = project.plan(TARGET, "--config", "variants=base,mse", "seeds=5")
    assert (jobs["pretrain"], jobs["predict_and_evaluate"]) == (10, 10)


def test_slurm_profile_plans_the_papers_scale_also_beside_config_of_the_user(project):
    """A `config:` entry of a profile would be dropped here."""
    paper = project.plan(TARGET, "--config", "mirror=somewhere", profile="profiles/slurm")
    assert paper["predict"] > paper["pretrain"] > 0
    assert "predict_and_evaluate" not in paper
    inventory = Inventory.read(ROOT / "config", "paper")
    assert paper["download_dataset"] == paper["preprocess_dataset"] == len(inventory.roles)
    assert paper["process_chunk"] == len(plan_chunks(inventory.corpora.corpora, 256))
    truths = [file for file in inventory.choose() if file.kind == "truth"]
    assert paper["download_source"] == paper["convert_truth"] == len(truths) == 4, "the human interactome has no URL"


@pytest.mark.slow
def test_listings_of_full_size_are_planned_as_some_hundred_jobs_and_a_small_corpus_as_few(project):
    for source, number in NUMBERS.items():
        rows = simulate_listing(source, number)
        write_manifest(project / f"config/manifests/{source}.tsv", rows, comment="simulated")
    jobs = project.plan(TARGET, "data_report", profile="profiles/slurm")
    corpora = Inventory.read(project / "config", "paper", registry=project / "config/datasets.tsv").corpora.corpora
    assert len(set(corpora["all"])) > 26_000
    assert 256 < jobs["process_chunk"] == jobs["report_chunk"] <= 256 + 64 + 32 + 16
    assert jobs["find_duplicates"] == jobs["build_corpus"] == jobs["report_corpus"] == len(corpora)
    alone = project.plan("results/paper/corpora/curated.json", "--config", "scale=paper", profile="profiles/slurm")
    assert (alone["process_chunk"], alone["find_duplicates"], alone["check_leakage"]) == (32, 1, 1)


def test_the_reports_of_the_data_are_targets_and_belong_to_no_table(project):
    add_tiny_scale(project)
    assert "report_dataset" not in project.plan("--config", *SETTINGS)
    jobs = project.plan("data_report", "--config", *SETTINGS)
    assert (jobs["report_dataset"], jobs["report_chunk"], jobs["report_corpus"]) == (3, 1, 1)
    assert "pretrain" not in jobs


def test_local_profile_plans_the_scale_that_the_user_asks_for(project):
    add_tiny_scale(project)
    jobs = project.plan(TARGET, "--config", *SETTINGS)
    assert jobs["pretrain"] == 2
    assert (jobs["simulate_dataset"], jobs["process_chunk"]) == (3, 1)


def test_a_folder_of_ones_own_needs_no_change_of_any_file(project, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    header = "name\torganism\tfile\tbatch_key\tlabel_key\troles\ttruth"
    rows = [
        "atlas\tNCBITaxon:9606\tatlas.h5ad\tdonor\tcell_type\tcurated\t",
        "mine\tNCBITaxon:9606\tmine.h5ad\tdonor\tcell_type\tlung omni\tedges",
    ]
    (data / "datasets.tsv").write_text("\n".join([header, *rows]) + "\n")
    (data / "organisms.tsv").write_text("organism\tname\tgenes\nNCBITaxon:9606\tHomo sapiens\tgenes.tsv\n")
    for name in ("atlas.h5ad", "mine.h5ad", "genes.tsv", "edges.csv"):
        (data / name).write_text("")
    jobs = project.plan(TARGET, "--config", "scale=pocket", f"data={data}", "variants=base", "seeds=1")
    assert (jobs["link_dataset"], jobs["link_truth"], jobs["process_chunk"], jobs["pretrain"]) == (1, 1, 1, 1)
    assert "predict_and_evaluate_denoise_baselines" not in jobs, "no dataset plays the role of denoising"


def test_an_ontology_of_ones_own_is_an_input_of_all_that_labels_by_it_and_test_sets_keep_secondary_cells(project):
    (project / "cl.obo").write_text("format-version: 1.2\n")
    printed = project.run(TARGET, "--dry-run", "--config", "variants=base", "ontologies={CL: cl.obo}")
    for rule in ("preprocess_dataset", "process_chunk", "build_corpus"):
        inputs = re.findall(rf"rule {rule}:\n +input: (.*)\n", printed)
        assert inputs, rule
        assert all("cl.obo" in line.split(", ") for line in inputs), rule
    assert re.search(r"secondary=\"keep\"", (ROOT / "rules/data.smk").read_text())


def test_controls_run_whichever_baselines_are_chosen(project):
    few = ("variants=base", "seeds=1")
    rows = {}
    for chosen in ("all", "controls", "pca"):
        planned = project.run(TARGET, "--dry-run", "--config", *few, f"baselines={chosen}")
        rows[chosen] = set(re.findall(r"predictions/(\w+)/seed_0/\w+/\w+\.h5ad", planned))
    assert {"base", "random_calls", "shuffled_pca"} <= rows["controls"] < rows["all"]
    assert rows["pca"] == rows["controls"] | {"pca"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["scale=huge"], "no scale 'huge'"),
        (["variants=base,bsae"], r"no variants \['bsae'\]; known:"),
        (["baselines=pca,pac"], r"no baselines \['pac'\]; allowed: all, controls, or some of \["),
        (["sede=1"], "sede"),
        (["seeds=0"], "seeds"),
        (["scale=pocket"], "add --config data=FOLDER"),
        (["scale=pocket", "data=nowhere"], "'nowhere' is not a folder"),
    ],
)
def test_a_mistake_in_the_configuration_says_what_to_do_before_any_job(project, settings, message):
    printed = project.run(TARGET, "--dry-run", "--config", *settings, succeeds=False)
    assert re.search(message, printed), printed[-2000:]


def test_a_mistake_in_any_variant_stops_the_plan(project):
    project.edit_yaml("config/variants/denoising.yaml", {"set": {"views": {"corrupted": {"kind": "dwonsample"}}}})
    printed = project.run(TARGET, "--dry-run", "--config", "variants=base", succeeds=False)
    assert "denoising" in printed


def test_the_schema_allows_the_configuration_as_it_is_shipped():
    schema = json.loads((ROOT / "config/schemas/config.schema.json").read_text())
    jsonschema.validate(yaml.safe_load((ROOT / "config/config.yaml").read_text()), schema)


def test_planning_imports_neither_torch_nor_scanpy(project):
    """Every job on a cluster reads the Snakefile twice."""
    (project / "probe.smk").write_text(
        "include: 'Snakefile'\nimport sys\n"
        "Path('loaded').write_text(str([name for name in ('torch', 'scanpy', 'anndata') if name in sys.modules]))\n"
    )
    project.plan(TARGET, "--snakefile", "probe.smk")
    assert (project / "loaded").read_text() == "[]"


def test_the_figures_belong_to_everything_and_each_is_a_target_of_its_own(project):
    add_tiny_scale(project)
    everything = project.plan("--config", *SETTINGS)
    drawing = {"draw_heat_map": 1, "draw_learning_curves": 1, "draw_pareto": 1, "publish_figure": 9}
    assert {rule: everything[rule] for rule in drawing} == drawing
    alone = project.plan("results/figures/heat_map.pdf", "--config", *SETTINGS)
    assert (alone["draw_heat_map"], alone["publish_figure"], alone["draw_learning_curves"]) == (1, 1, 0)


def test_the_context_sweep_is_a_target_of_its_own_for_the_named_rows_that_are_run(project):
    add_tiny_scale(project)
    assert "sweep_context" not in project.plan("--config", *SETTINGS)
    jobs = project.plan("results/figures/context_sweep.pdf", "--config", *SETTINGS)
    assert (jobs["sweep_context"], jobs["draw_context_sweep"], jobs["publish_figure"]) == (2, 1, 1)
    assert jobs["pretrain"] == 2, "base, and the untrained control for the band"
    printed = project.run(
        "results/figures/context_sweep.pdf", "--dry-run", "--config", "scale=tiny", "variants=mse", succeeds=False
    )
    assert "nothing to draw" in printed


def test_scores_at_an_equal_budget_train_shorter_rows_on_demand_and_costs_of_studies_make_no_table_wait(project):
    add_tiny_scale(project)
    everything = project.plan("--config", *SETTINGS)
    assert not {"compare_at_equal_budget", "account_study_costs", "count_draws"} & set(everything)
    jobs = project.plan("results/equal_budget.csv", "--config", *SETTINGS)
    assert (jobs["compare_at_equal_budget"], jobs["publish_table1"]) == (1, 1)
    assert jobs["pretrain"] == 3, "base whole and halved, and the untrained control for the band"
    costs = project.plan("results/study_costs.csv", "--config", *SETTINGS)
    assert (costs["account_study_costs"], costs["sweep_context"], costs["table1"]) == (1, 2, 0)
    assert costs["run_study"] > 0


def test_known_networks_are_compared_on_demand_each_mapped_once_per_organism(project):
    add_tiny_scale(project)
    assert "compare_truths" not in project.plan("--config", *SETTINGS)
    jobs = project.plan("results/figures/truth_overlap.csv", "--config", *SETTINGS)
    assert jobs == {
        "simulate_organisms": 1, "build_gene_table": 1, "simulate_truth": 2, "build_truth": 2, "compare_truths": 1,
        "publish_figure": 1,
    }  # fmt: skip
    jobs = project.plan("network_report", "--config", *SETTINGS)
    assert (jobs["draw_networks"], jobs["predict_and_evaluate"], jobs["publish_figure"]) == (1, 2, 6)
    assert jobs["predict_and_evaluate_networks_baselines"] == 1
    assert "predict_and_evaluate_embed_baselines" not in jobs


def test_a_truth_without_url_is_used_when_a_mirror_on_this_machine_holds_its_file(project, tmp_path):
    printed = project.run(TARGET, "--dry-run", "--quiet", "rules", profile="profiles/slurm")
    assert "not scored against human_ppi: put RF2-PPI_scores.zip into a folder" in printed
    (tmp_path / "RF2-PPI_scores.zip").write_text("")
    jobs = project.plan(TARGET, "--config", f"mirror={tmp_path}", profile="profiles/slurm")
    assert (jobs["convert_truth"], jobs["download_source"]) == (6, 6)


def test_the_controls_are_evaluated_before_the_rows_whose_figures_show_them_and_never_wait_for_themselves(project):
    add_tiny_scale(project)
    control = "results/tiny/scores/negative_control/seed_0/annotate/sim_lung.tsv"
    alone = project.plan(control, "--config", *SETTINGS)
    assert alone["predict_and_evaluate"] == 1
    assert "gather_controls" not in alone
    base = project.plan(control.replace("negative_control", "base"), "--config", *SETTINGS)
    assert (base["gather_controls"], base["predict_and_evaluate"]) == (1, 2)
    assert project.plan("reports/metrics.html") == {"report_metrics": 1}


def test_the_claims_belong_to_everything_and_train_nothing_more(project):
    add_tiny_scale(project)
    everything = project.plan("--config", *SETTINGS)
    assert (everything["judge_claims"], everything["publish_claims"]) == (1, 2)
    alone = project.plan("results/claims.html", "--config", *SETTINGS)
    assert (alone["judge_claims"], alone["publish_claims"]) == (1, 1)
    assert alone["pretrain"] == everything["pretrain"]


def test_nothing_is_left_to_do_after_a_run(finished):
    assert finished.plan(TARGET, "--config", *SETTINGS) == {}


def test_comments_touched_scripts_and_new_limits_retrain_nothing(finished):
    changes = {
        "config/base.yaml": "# A comment.\n",
        "config/variants/base.yaml": "\n# Another one.\n",
        "config/scales/tiny.yaml": "# A third.\n",
        "config/tasks.yaml": "# A fourth.\n",
    }
    before = {path: (finished / path).read_text() for path in changes}
    profile = (finished / "profiles/local/profile.yaml").read_text()
    try:
        for path, text in changes.items():
            (finished / path).write_text(text + before[path])
        for script in (finished / "workflow/scripts").glob("*.py"):
            script.touch()
        (finished / "profiles/local/profile.yaml").write_text(profile.replace("mem_mb: 3000", "mem_mb: 3500"))
        assert finished.plan(TARGET, "--config", *SETTINGS, "mirror=elsewhere") == {}
    finally:
        for path, text in before.items():
            (finished / path).write_text(text)
        (finished / "profiles/local/profile.yaml").write_text(profile)


@pytest.fixture
def changed(finished):
    """Change a file of the finished project for the length of a test."""
    before: dict[Path, str] = {}

    def change(path: str, old: str, new: str) -> Project:
        before.setdefault(finished / path, (finished / path).read_text())
        finished.edit(path, old, new)
        return finished

    yield change
    for path, text in before.items():
        path.write_text(text)


def test_one_changed_value_retrains_only_its_rows(changed):
    project = changed("config/variants/negative_control.yaml", "epochs: 0", "epochs: 1")
    jobs = project.plan(TARGET, "--config", *SETTINGS)
    assert jobs["pretrain"] == 1
    assert (jobs["gather_controls"], jobs["predict_and_evaluate"]) == (1, 2), "figures show the controls"


def test_a_value_of_the_base_retrains_every_row_that_inherits_it(changed):
    project = changed("config/base.yaml", "clip_norm: 10", "clip_norm: 11")
    jobs = project.plan(TARGET, "--config", *SETTINGS)
    assert (jobs["pretrain"], jobs["predict_and_evaluate"], jobs["gather_controls"]) == (2, 2, 1)


def test_a_setting_of_a_task_predicts_again_and_trains_nothing(changed):
    project = changed("config/tasks.yaml", "depth_factor: 5", "depth_factor: 4")
    jobs = project.plan(TARGET, "--config", *SETTINGS)
    tasks = ["denoise", "embed", "annotate", "networks"]  # the figures of the others show the controls, too
    evaluated = {"predict_and_evaluate": 2} | {f"predict_and_evaluate_{name}_baselines": 1 for name in tasks}
    assert jobs == evaluated | {"gather_controls": 1, "table1": 1, "publish_table1": 1}


def test_a_title_only_writes_the_table_again(changed):
    project = changed("config/variants/base.yaml", "name: base", "name: the base")
    assert project.plan(TARGET, "--config", *SETTINGS) == {"table1": 1, "publish_table1": 1}


def test_a_study_is_run_on_demand_for_the_chosen_rows_and_belongs_to_no_table(project):
    assert not {"run_study", "collect_study"} & set(project.plan())
    settings = ["variants=base,negative_control", "seeds=1"]
    kinds = project.plan("results/mini/studies/embedding_kinds.tsv", "--config", *settings)
    assert (kinds["pretrain"], kinds["run_study"], kinds["collect_study"]) == (2, 2, 1)
    assert kinds["check_study_leakage"] == 1  # base and its untrained control share a corpus
    beside = project.plan("results/mini/studies/open_problems.tsv", "--config", *settings)
    baselines = yaml.safe_load((ROOT / "config/tasks.yaml").read_text())["tasks"]["embed"]["baselines"]
    assert beside["run_study"] == 2 + len(baselines)


def test_the_report_has_the_untrained_control_and_the_baselines_of_a_study_beside_its_rows(project):
    settings = ["variants=base,negative_control", "seeds=1"]
    jobs = project.plan("site", "--config", *settings)
    baselines = yaml.safe_load((ROOT / "config/tasks.yaml").read_text())["tasks"]["embed"]["baselines"]
    studies = yaml.safe_load((ROOT / "config/studies.yaml").read_text())["studies"]
    with_sets = len(studies) - 1  # no dataset of mini is a given pair
    assert jobs["run_study"] == 2 * with_sets + len(baselines)
    controls = [name for name, entry in baselines.items() if "control" in entry]
    few = project.plan("site", "--config", *settings, "baselines=controls")
    assert few["run_study"] == 2 * with_sets + len(controls)


def test_a_study_without_datasets_says_so(project):
    printed = project.run("results/mini/studies/denoising_pairs.tsv", "--dry-run", succeeds=False)
    assert "has no datasets at scale 'mini': none plays ('denoise_pair',)" in printed


def test_trainings_resume_200_times_on_a_cluster_and_never_by_attempt():
    """A retry inside a job would train in what is left of its time."""
    slurm = yaml.safe_load((ROOT / "profiles/slurm/scale.yaml").read_text())
    assert slurm["resumptions"] == 200
    assert not any("attempt" in text for text in RULES)
    assert all("attempt" not in str(value) for value in slurm.values())


def test_gpu_jobs_fit_the_gpu_partition_and_no_other(tmp_path):
    profile = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text())
    partitions = yaml.safe_load((ROOT / "profiles/slurm/partitions.yaml").read_text())["partitions"]
    with_gpu = {name for name, limits in partitions.items() if limits.get("max_gpu")}
    on_gpu = {rule for rule, needs in profile["set-resources"].items() if needs.get("gpu")}
    assert on_gpu == {"pretrain", "predict", "run_study", "sweep_context", "embed_proteins"}
    assert with_gpu
    assert with_gpu != set(partitions)
    needs = [profile["default-resources"] | needs for needs in profile["set-resources"].values()]
    limit = min(limits["max_mem_mb"] for limits in partitions.values())
    assert all(isinstance(value, int) for need in needs for value in need.values()), "0.5 would silently become 0"
    assert all(500 <= need["mem_mb"] <= limit for need in needs)


def test_every_rule_that_a_profile_names_is_there():
    rules = set(re.findall(r"^ *rule (\w+):", "\n".join(RULES), re.MULTILINE))
    for profile in (ROOT / "profiles").glob("*/profile.yaml"):
        value = yaml.safe_load(profile.read_text())
        assert set(value["set-resources"]) | set(value.get("set-threads", {})) <= rules, profile
