import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from scprint2.data.sampler import (
    Blocks,
    BlockSampler,
    ConstantSaturation,
    CurriculumSaturation,
    GroupedSampling,
    GroupSampler,
    NoDepth,
    ShuffledSampler,
    SigmoidDepth,
    generator,
    permute,
    search_between,
)
from scprint2.data.shard import LEVELS, TRAINING, VALIDATION
from scprint2.data.vocabulary import CLASSES

from .builders import small_corpus

GROUPS = ("cell_type_cluster", "sex", "organism")
S1 = ConstantSaturation(kind="constant", value=50)
DEPTH = SigmoidDepth(kind="sigmoid", midpoint=20, steepness=0.3, scale=1000)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


def plain_weights(corpus, groups, *, saturation, depth, split):
    """Return the weight of every cell of the corpus by the formula, from what is stored about single cells."""
    names, depths, inside = [], [], []
    for shard in corpus.shards:
        stratum = np.repeat(np.arange(shard.stratum_cells.size), shard.stratum_cells.reshape(-1)) // LEVELS
        stratum %= shard.stratum_cells.shape[1]
        columns = []
        for name in groups:
            if name in CLASSES:
                terms = np.array([*shard.terms[name], "unknown"])
                columns.append(terms[shard.label[:, CLASSES.index(name)]])
            else:
                columns.append(np.array(shard.header[f"{name}s"])[getattr(shard, f"stratum_{name}")][stratum])
        names += ["/".join(values) for values in zip(*columns, strict=True)]
        edges = np.unique(np.quantile(shard.nnz, np.linspace(0, 1, LEVELS + 1)[1:-1]))
        level = np.searchsorted(edges, shard.nnz)
        mean = np.array([shard.nnz[level == number].mean() for number in range(LEVELS)])
        depths.append(1.0 + 999.0 / (1 + np.exp(-0.3 * (mean[level] - 20))) if depth else np.ones(len(shard)))
        validation = np.arange(len(shard)) >= shard.header["training_cells"]
        inside.append(validation == (split == VALIDATION))
    inside = np.concatenate(inside)
    names = np.array(names)
    kinds, group = np.unique(names, return_inverse=True)
    size = np.bincount(group[inside], minlength=len(kinds))[group]
    weights = np.where(inside, saturation / (size + saturation) * np.concatenate(depths), 0)
    return weights / weights.sum()


@pytest.mark.parametrize("depth", [NoDepth(kind="none"), DEPTH])
@pytest.mark.parametrize("groups", [GROUPS, ("cluster",), ("cell_type",)])
@pytest.mark.parametrize("split", [0, VALIDATION])
def test_cells_are_drawn_as_often_as_the_formula_says(corpus, depth, groups, split):
    sampler = GroupSampler(corpus, groups=groups, saturation=S1, depth=depth, seed=1, split=split)
    drawn = np.bincount(np.concatenate([sampler.draw(step, 4000) for step in range(50)]), minlength=len(corpus))
    expected = 200_000 * plain_weights(corpus, groups, saturation=50, depth=depth is DEPTH, split=split)
    assert (drawn[expected == 0] == 0).all()
    common = expected > 5
    assert (
        stats.chisquare(
            np.append(drawn[common], drawn[~common].sum()), np.append(expected[common], expected[~common].sum() + 1e-9)
        ).pvalue
        > 1e-4
    )


def test_a_group_weighs_what_the_formula_gives_by_hand():
    blocks = Blocks.build(np.array([0, 1, 0]), np.array([0, 6, 1006]), np.array([6, 1000, 4]), weight=None)
    np.testing.assert_allclose(blocks.group_weights(200.0), [10 * 200 / 210, 1000 * 200 / 1200])
    assert blocks.group_cells.tolist() == [10, 1000]


def test_weights_span_the_factor_from_one_to_the_scale():
    depth = SigmoidDepth(kind="sigmoid", midpoint=2000, steepness=0.003, scale=1000)
    np.testing.assert_allclose(depth.weight(np.array([2000.0, 0.0, 1e6])), [500.5, 1 + 999 / (1 + np.exp(6)), 1000])


def test_small_saturation_makes_groups_alike_and_large_one_makes_cells_alike():
    blocks = Blocks.build(np.array([0, 1]), np.array([0, 10]), np.array([10, 10_000]), weight=None)
    for value, expected in ((1e-6, 0.5), (1e12, 10 / 10_010)):
        sampler = BlockSampler(blocks, saturation=ConstantSaturation(kind="constant", value=value), seed=0)
        share = (sampler.draw(0, 100_000) < 10).mean()
        assert abs(share - expected) < 0.005


def test_the_search_inside_a_group_finds_what_a_search_everywhere_finds():
    rng = np.random.default_rng(0)
    values = np.cumsum(rng.integers(0, 3, size=500).astype(float))  # with ties
    bounds = np.unique(np.concatenate([[0, 500], rng.integers(500, size=60)]))
    group = rng.integers(len(bounds) - 1, size=20_000)
    first, last = bounds[group], bounds[group + 1] - 1
    targets = np.where(
        rng.random(20_000) < 0.5, rng.uniform(-1, values[-1] + 1, 20_000), values[rng.integers(500, size=20_000)]
    )
    expected = np.clip(np.searchsorted(values, targets, side="right"), first, last)
    assert np.array_equal(search_between(values, targets, first=first, last=last), expected)


def test_blocks_without_cells_are_never_drawn():
    blocks = Blocks.build(np.array([0, 0, 1]), np.array([0, 5, 5]), np.array([5, 0, 3]), weight=np.array([1.0, 1e9, 1]))
    assert set(BlockSampler(blocks, saturation=S1, seed=0).draw(0, 10_000)) == set(range(8))


def test_the_curriculum_grows_linearly_and_then_stays():
    curriculum = CurriculumSaturation(kind="curriculum", start=1, stop=1000, steps=500)
    values = [curriculum.at(step) for step in (0, 250, 500, 10_000)]
    np.testing.assert_allclose(values, [1, 500.5, 1000, 1000])
    assert curriculum.final == 1000
    long = CurriculumSaturation(kind="curriculum", start=1, stop=1000, steps=400_000)
    steps = [long.at(step) for step in range(0, 400_000, 50)]
    assert (np.diff(steps) >= 0).all()
    assert len(set(steps)) == 1000


def test_the_curriculum_changes_what_is_drawn(corpus):
    curriculum = CurriculumSaturation(kind="curriculum", start=0.01, stop=1e9, steps=10)
    sampler = GroupSampler(corpus, groups=("cell_type",), saturation=curriculum, depth=NoDepth(kind="none"), seed=0)
    for step, saturation in ((0, 0.01), (10, 1e9)):
        fixed = ConstantSaturation(kind="constant", value=saturation)
        same = GroupSampler(corpus, groups=("cell_type",), saturation=fixed, depth=NoDepth(kind="none"), seed=0)
        assert np.array_equal(sampler.draw(step, 500), same.draw(step, 500))
    assert not np.array_equal(sampler.draw(0, 500), sampler.draw(10, 500))


def test_draws_depend_on_seed_and_step_alone(corpus):
    def sampler(seed):
        return GroupSampler(corpus, groups=GROUPS, saturation=S1, depth=DEPTH, seed=seed)

    first = sampler(1)
    forward = [first.draw(step, 64) for step in range(5)]
    backward = [sampler(1).draw(step, 64) for step in reversed(range(5))][::-1]
    assert np.array_equal(forward, backward)
    assert not np.array_equal(forward[0], forward[1])
    assert not np.array_equal(sampler(2).draw(0, 64), forward[0])


def test_purposes_and_steps_have_separate_random_numbers():
    keys = [
        (seed, step, purpose) for seed in (0, 1) for step in (0, 1) for purpose in ("cells", "neighbors", "metacells")
    ]
    draws = [tuple(generator(seed, step, purpose).random(2)) for seed, step, purpose in keys]
    assert len(set(draws)) == len(keys)


def test_levels_are_fine_enough_for_the_exact_depth_weight(corpus):
    """The mean number of genes of the drawn cells is that of the exact weights to within 2 %."""
    nnz = np.concatenate([shard.nnz[: shard.header["training_cells"]] for shard in corpus.shards]).astype(float)
    exact = np.average(nnz, weights=1 + 999 / (1 + np.exp(-0.3 * (nnz - 20))))
    flat = ConstantSaturation(kind="constant", value=1e12)
    sampler = GroupSampler(corpus, groups=("organism",), saturation=flat, depth=DEPTH, seed=0)
    cells = sampler.draw(0, 100_000)
    shard, row = corpus.locate(cells)
    drawn = np.concatenate([corpus.shards[s].nnz[row[shard == s]] for s in range(4)]).mean()
    assert abs(drawn / exact - 1) < 0.02
    assert exact > 1.1 * nnz.mean()


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": []},
        {"groups": ["mood"]},
        {"groups": ["sex", "sex"]},
        {"saturation": {"kind": "constant", "value": 0}},
        {"saturation": {"kind": "curriculum", "start": 1, "stop": 1000, "steps": 0}},
        {"depth": {"kind": "none", "midpoint": 3}},
        {"kind": "without_replacement"},
    ],
)
def test_impossible_sampling_is_refused(changes):
    values = {
        "kind": "grouped",
        "groups": ["sex"],
        "saturation": {"kind": "constant", "value": 200},
        "depth": {"kind": "none"},
    }
    TypeAdapter(GroupedSampling).validate_python(values)
    with pytest.raises(ValidationError):
        TypeAdapter(GroupedSampling).validate_python(values | changes)


def test_a_split_without_cells_is_refused(tmp_path):
    corpus = small_corpus(tmp_path, validation_share=0.0, cells=30)
    with pytest.raises(ValueError, match="no cells for validation"):
        GroupSampler(corpus, groups=GROUPS, saturation=S1, depth=DEPTH, seed=0, split=VALIDATION)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1000, 4096, 4097])
def test_a_permutation_has_every_number_once(size):
    assert sorted(permute(np.arange(size), size=size, key=(0, 0)).tolist()) == list(range(size))


def test_permutations_of_other_keys_are_unrelated():
    first, second = (permute(np.arange(10_000), size=10_000, key=(0, epoch)) for epoch in (0, 1))
    assert (first == second).sum() < 10
    for order in (first, second):
        assert abs(stats.spearmanr(np.arange(10_000), order).statistic) < 0.03
        # neighboring numbers must not stay neighbors: the gaps are those of a random order
        assert stats.kstest(np.diff(order) / 10_000, stats.triang(0.5, loc=-1, scale=2).cdf).pvalue > 1e-3


def test_without_replacement_every_cell_comes_once_an_epoch(corpus):
    sampler = ShuffledSampler(corpus, seed=3)
    size = 7
    drawn = np.concatenate([sampler.draw(step, size) for step in range(2 * sampler.cells // size + 1)])
    training = [
        start + row
        for start, shard in zip(corpus.starts[:-1], corpus.shards, strict=True)
        for row in range(shard.header["training_cells"])
    ]
    first, second = drawn[: sampler.cells], drawn[sampler.cells : 2 * sampler.cells]
    assert sorted(first) == sorted(second) == training
    assert not np.array_equal(first, second)
    assert np.array_equal(ShuffledSampler(corpus, seed=3).draw(5, size), sampler.draw(5, size))
    assert not np.array_equal(ShuffledSampler(corpus, seed=4).draw(5, size), sampler.draw(5, size))


def test_the_splits_share_no_cell(corpus):
    training, validation = (ShuffledSampler(corpus, seed=0, split=split) for split in (TRAINING, VALIDATION))
    one, other = (set(sampler.draw(0, sampler.cells).tolist()) for sampler in (training, validation))
    assert not one & other
    assert len(one) + len(other) == corpus.starts[-1]


def test_350_million_cells_in_140_thousand_groups_are_drawn_by_the_formula_in_50_megabytes():
    rng = np.random.default_rng(0)
    groups, strata, saturation = 140_000, 168_000, 200.0
    depth = SigmoidDepth(kind="sigmoid", midpoint=2000, steepness=0.003, scale=1000)
    share = rng.lognormal(0, 2, size=strata)
    cells = rng.multinomial((350e6 * share / share.sum()).astype(np.int64) + 1, np.full(LEVELS, 1 / LEVELS)).reshape(-1)
    group = np.repeat(np.concatenate([np.arange(groups), rng.integers(groups, size=strata - groups)]), LEVELS)
    first, level = np.cumsum(cells) - cells, np.tile(np.arange(LEVELS), strata)
    weight = depth.weight(np.linspace(400, 6000, LEVELS))[level]
    blocks = Blocks.build(group, first, cells, weight=weight)
    sampler = BlockSampler(blocks, saturation=ConstantSaturation(kind="constant", value=saturation), seed=0)
    drawn = np.concatenate([sampler.draw(step, 50_000) for step in range(8)])
    assert blocks.nbytes + sampler.cumulative_group_weights(saturation).nbytes < 50e6

    block = np.searchsorted(first, drawn, side="right") - 1  # an empty block begins where the next one does
    size = np.bincount(group, weights=cells)
    expected = cells * weight * saturation / (size[group] + saturation)
    expected *= len(drawn) / expected.sum()
    by_size = np.argsort(np.argsort(size)) * 200 // groups  # two hundred bins of groups, small ones first
    for bins in (level, by_size[group]):
        found = np.bincount(bins[block], minlength=bins.max() + 1)
        formula = np.bincount(bins, weights=expected)
        assert stats.chisquare(found, formula).pvalue > 1e-4
