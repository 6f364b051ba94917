import pytest

from scprint2.simulate import SimulationSettings
from scprint2.simulate.settings import stream


def test_a_stream_depends_on_the_seed_and_the_whole_name():
    draws = [
        stream(seed, *name).integers(1 << 60) for seed, name in ((0, ("a", "b")), (1, ("a", "b")), (0, ("a", "c")))
    ]
    assert len(set(draws)) == 3
    assert stream(0, "a", "b").integers(1 << 60) == draws[0]


@pytest.mark.parametrize("change", [{"cell_share": -1.0}, {"transcription_factors": 3}, {"genes": 100}])
def test_settings_that_no_world_can_be_built_from_are_refused(change):
    with pytest.raises(ValueError, match="must be"):
        SimulationSettings(seed=0, **change)
