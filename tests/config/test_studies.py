import shutil

import pytest
import yaml

from scprint2.config.overlay import assign_datasets, read_scale
from scprint2.config.studies import list_study_jobs, read_studies
from scprint2.config.tasks import read_tasks
from scprint2.data.registry import read_registry
from scprint2.tasks.predict import SETTINGS
from tests.helpers import CONFIG, ROOT

SCALES = sorted(path.stem for path in (CONFIG / "scales").glob("*.yaml"))


def read(config, scale):
    tasks = read_tasks(config, scale=scale)["tasks"]
    return read_studies(config, scale=scale, tasks=tasks), tasks


@pytest.mark.parametrize("scale", SCALES)
def test_every_study_has_settings_that_its_task_accepts(scale):
    studies, tasks = read(CONFIG, scale)
    for study in studies.values():
        roles = {role: ["set"] for role in study.roles}
        for job in list_study_jobs(study, tasks=tasks, roles=roles, words={}):
            SETTINGS[job.task].model_validate(job.settings)


@pytest.mark.parametrize(
    ("scale", "study", "datasets"),
    [
        ("mini", "open_problems", ["sim_lung", "sim_pancreas"]),
        ("mini", "denoising_pairs", []),
        ("pocket", "denoising_pairs", ["denoise_baron_human", "denoise_zeisel_mouse"]),
        ("paper", "open_problems", ["op_gtex_v9", "op_hypomap", "op_mouse_pancreas_atlas", "op_dkd"]),
    ],
)
def test_a_study_finds_its_datasets_by_role_or_by_the_words_of_the_registry(scale, study, datasets):
    studies, tasks = read(CONFIG, scale)
    size = read_scale(CONFIG, scale)
    words = {name: row.roles for name, row in read_registry(ROOT / size["registry"]).items()}
    roles = assign_datasets(size["roles"], words, where=scale)
    jobs = list_study_jobs(studies[study], tasks=tasks, roles=roles, words=words)
    assert [job.dataset for job in jobs] == datasets


def test_a_study_lays_its_settings_over_those_of_the_task_and_lists_a_dataset_once():
    studies, tasks = read(CONFIG, "mini")
    roles = {"lung": ["a", "b"], "pancreas": ["b"]}
    jobs = list_study_jobs(studies["embedding_kinds"], tasks=tasks, roles=roles, words={})
    assert [job.dataset for job in jobs] == ["a", "b"]
    assert jobs[0].settings == {**tasks["embed"]["settings"], "kinds": ["cell_type", "all", "mean", "each"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "cluster"}, "no task 'cluster'; known"),
        ({"settings": {"depth": 3}}, r"has no settings \['depth'\]; known"),
        ({"baselines": ["pca"]}, "allowed: all, none"),
        ({"note": "x"}, "has the keys"),
        ({"settings": {"cells": "$nothing"}}, r"no constant '\$nothing'"),
    ],
)
def test_a_mistake_is_named(tmp_path, change, message):
    shutil.copytree(CONFIG, tmp_path / "config")
    path = tmp_path / "config" / "studies.yaml"
    value = yaml.safe_load(path.read_text())
    value["studies"]["depth_full"] |= change
    path.write_text(yaml.safe_dump(value))
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "config", "mini")


def test_the_papers_eight_denoising_sets_are_registered_for_the_papers_scale():
    """Methods, "Denoising task"."""
    words = {name: row.roles for name, row in read_registry(CONFIG / "datasets.tsv").items()}
    roles = assign_datasets(read_scale(CONFIG, "paper")["roles"], words, where="paper")
    assert set(roles["denoise"]) == {
        *("retina", "kidney", "intestine", "glio_smart", "lung_smart"),
        *("scib_pancreas", "srx24486462", "srx22526970"),
    }
