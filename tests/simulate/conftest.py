import pytest

from scprint2.simulate import SimulationSettings, World, build_world


@pytest.fixture(scope="package")
def world() -> World:
    return build_world(SimulationSettings(seed=3, cell_share=0.2))
