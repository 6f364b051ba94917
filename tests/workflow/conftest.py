"""One finished run of the tiny scale, which many tests look at."""

import pytest

from tests.workflow.project import SETTINGS, Project, add_tiny_scale, copy_project


@pytest.fixture
def project(tmp_path) -> Project:
    """A copy of the workflow, nothing run."""
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A copy of the workflow with a finished run of the tiny scale. Tests may plan on it, and must leave it as it was."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    add_tiny_scale(project)
    project.run("results/table1.csv", "--config", *SETTINGS)
    return project
