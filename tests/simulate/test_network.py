import numpy as np
import pytest

from scprint2.simulate.network import KNOCK_DOWN, RegulatoryNetwork

HUMAN, MOUSE = "NCBITaxon:9606", "NCBITaxon:10090"


@pytest.fixture
def chain() -> RegulatoryNetwork:
    """Factor 0 activates factor 1, which represses gene 2."""
    return RegulatoryNetwork(among=np.array([[0, 2.0], [0, 0]]), on_targets=np.array([[0, 0, 0], [0, 0, -3.0]]))


def test_drive_and_expression_follow_the_hill_curve_by_hand(chain):
    drive = chain.drive(np.array([[np.log(3), 0.0]]))
    assert drive == pytest.approx(np.array([[np.log(3), 2 * (0.75 - 0.5)]]))
    expression = chain.log_expression(drive, np.array([1.0, 2.0, 3.0]))
    active = 1 / (1 + np.exp(-0.5))
    assert expression == pytest.approx(np.array([[1 + np.log(3), 2.5, 3 - 3 * (active - 0.5)]]))


def test_knocking_down_the_head_of_a_chain_lowers_the_activated_and_raises_the_repressed(chain):
    effects = chain.knock_down_effects(np.zeros((5, 2)), np.zeros(3))
    assert effects[0, 0] == 0
    assert effects[0, 1] == pytest.approx(2 * (1 / (1 + np.exp(-KNOCK_DOWN)) - 0.5) / np.log(2))
    assert effects[0, 2] > 0
    assert effects[1, 0] == 0
    assert effects[1, 2] > effects[0, 2]


def test_a_factor_that_is_off_has_no_effect(chain):
    assert np.abs(chain.knock_down_effects(np.full((3, 2), -30.0), np.zeros(3))).max() < 1e-9


def test_knocking_down_the_regulator_of_an_activating_edge_lowers_a_target_that_has_no_other_way(world):
    network = world.networks[HUMAN]
    level = world.genomes[HUMAN].level
    effects = network.knock_down_effects(np.zeros((1, len(network.among))), level)
    lonely = (network.among != 0).sum(1) == 0  # factors that act on targets alone
    direct = network.on_targets[lonely]
    assert (direct > 0).sum() > 20
    assert (effects[lonely][direct > 0] < 0).all()
    assert (effects[lonely][direct < 0] > 0).all()


def test_the_network_is_sparse_acyclic_and_mostly_shared_between_organisms(world):
    human, mouse = world.networks[HUMAN], world.networks[MOUSE]
    assert not np.tril(human.among).any()
    assert 0.01 < (human.on_targets[:, :800] != 0).mean() < 0.06
    assert not human.on_targets[:, 800:].any()
    same = (human.on_targets != 0) & (mouse.on_targets != 0)
    assert 0.6 < same.sum() / (human.on_targets != 0).sum() < 0.95
