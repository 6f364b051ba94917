import shutil

import pytest
import yaml

from scprint2.baselines import BASELINES
from scprint2.config.tasks import list_baselines, list_budgets, list_jobs, read_tasks
from scprint2.tasks.predict import SETTINGS
from tests.helpers import CONFIG

SCALES = sorted(path.stem for path in (CONFIG / "scales").glob("*.yaml"))
COLUMNS = "denoise scib_lung scib_pancreas ct_lung ct_pancreas or_gwps or_omni auprc_gwps auprc_omni".split()


@pytest.fixture
def config(tmp_path):
    shutil.copytree(CONFIG, tmp_path / "config")
    return tmp_path / "config"


def edit(config, change):
    path = config / "tasks.yaml"
    value = yaml.safe_load(path.read_text())
    change(value)
    path.write_text(yaml.safe_dump(value))


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_gives_each_role_settings_that_its_task_accepts(scale):
    for name, task in read_tasks(CONFIG, scale=scale)["tasks"].items():
        for own in task["roles"].values():
            SETTINGS[name].model_validate({**task["settings"], **own})


def test_every_computed_column_of_table_1_has_a_source():
    assert list(read_tasks(CONFIG, scale="mini")["columns"]) == COLUMNS


def test_the_baselines_of_the_configuration_are_those_of_the_package():
    listed = {(task, name) for name, (task, _) in list_baselines(CONFIG, scale="mini").items()}
    assert listed == {(task, name) for task, entries in BASELINES.items() for name in entries}


def test_a_role_changes_the_settings_of_its_own_jobs_alone():
    jobs = {job.role: job.settings for job in list_jobs(CONFIG, scale="mini", task="networks")}
    assert (jobs["gwps"]["regulator"], jobs["omni"]["regulator"]) == ("key", "query")


def test_a_dataset_with_two_roles_of_equal_settings_is_one_job(config):
    scale = yaml.safe_load((config / "scales" / "mini.yaml").read_text())
    scale["roles"]["pancreas"] = scale["roles"]["lung"]
    (config / "scales" / "mini.yaml").write_text(yaml.safe_dump(scale))
    assert len(list_jobs(config, scale="mini", task="embed")) == 1


def test_a_dataset_with_two_roles_of_different_settings_is_refused(config):
    scale = yaml.safe_load((config / "scales" / "mini.yaml").read_text())
    scale["roles"]["gwps"] = scale["roles"]["omni"]
    (config / "scales" / "mini.yaml").write_text(yaml.safe_dump(scale))
    with pytest.raises(ValueError, match="settings differ"):
        list_jobs(config, scale="mini")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value["tasks"]["embed"].pop("title"), "task 'embed' has the keys"),
        (lambda value: value["tasks"]["embed"]["roles"].update(liver={}), "role 'liver'"),
        (lambda value: value["tasks"]["embed"]["baselines"].update(knn={"title": "x"}), "rename one"),
        (lambda value: value["columns"]["ct_lung"].update(role="gwps"), "column 'ct_lung'"),
        (lambda value: value["tasks"]["embed"]["settings"].update(cells="$nothing"), r"no constant '\$nothing'"),
    ],
)
def test_a_mistake_is_named(config, change, message):
    edit(config, change)
    with pytest.raises(ValueError, match=message):
        read_tasks(config, scale="mini")


def experiment(epochs):
    return {"model": {"dim": 8}, "training": {"epochs": epochs, "batch_size": 4}}


def test_budgets_are_the_row_with_fewer_epochs_and_nothing_else():
    trained = {"base": experiment(6), "control": experiment(0), "vae": experiment(6)}
    budgets = list_budgets(trained, rows=["vae", "base", "control"], shares=[0.25, 0.5])
    assert list(budgets) == ["base-epochs_2", "base-epochs_3", "vae-epochs_2", "vae-epochs_3"]
    budget = budgets["vae-epochs_2"]
    assert (budget.variant, budget.epochs) == ("vae", 2)
    assert budget.experiment == {"model": {"dim": 8}, "training": {"epochs": 2, "batch_size": 4}}
    assert trained["vae"]["training"]["epochs"] == 6


def test_budgets_of_short_trainings_are_whole_epochs_and_fewer_than_all():
    assert list(list_budgets({"base": experiment(2)}, rows=["base"], shares=[0.1, 0.9])) == ["base-epochs_1"]
    assert list_budgets({"base": experiment(1)}, rows=["base"], shares=[0.5]) == {}


def test_where_no_row_to_follow_is_chosen_the_first_trained_one_is_followed():
    chosen = {"control": experiment(0), "vae": experiment(4), "gnn": experiment(4)}
    assert list(list_budgets(chosen, rows=["base"], shares=[0.5])) == ["vae-epochs_2"]
