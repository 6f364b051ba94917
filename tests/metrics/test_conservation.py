import numpy as np
import pytest
from sklearn.metrics import silhouette_samples as silhouettes_of_scikit_learn

from scprint2.metrics import conservation
from scprint2.metrics.neighbors import connectivities, find_neighbors, neighbor_probabilities
from tests.metrics.example import make_example


@pytest.mark.parametrize("separation", [0, 1, 5])
def test_silhouettes_are_those_of_scikit_learn(separation):
    example = make_example(cells=3000, separation=separation)
    ours = conservation.silhouette_samples(example.embedding, example.labels)
    np.testing.assert_allclose(
        ours, silhouettes_of_scikit_learn(example.embedding.astype(float), example.labels), atol=1e-9
    )


def test_a_cell_alone_with_its_label_has_silhouette_zero():
    points = np.array([[0.0], [1.0], [5.0]])
    assert conservation.silhouette_samples(points, np.array(["a", "a", "b"])).tolist() == [0.8, 0.75, 0]


def test_isolated_labels_are_those_in_the_fewest_batches():
    labels, batches = np.array(list("aabbcc")), np.array(list("xyxxyy"))
    assert conservation.find_isolated_labels(labels, batches) == ["b", "c"]
    silhouettes = np.array([1, 1, 0.5, 0.5, 0, 0])
    assert conservation.isolated_labels(silhouettes, labels=labels, batches=batches) == (0.75 + 0.5) / 2


def test_the_best_cluster_of_any_clustering_gives_the_f1_of_an_isolated_label():
    labels, batches = np.array(list("aabb")), np.array(list("xyxx"))
    one, other = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])  # cluster 1 of `one`: F1 = 2 / 3; all of `other`: 4 / 6
    assert conservation.isolated_labels_f1([one, other], labels=labels, batches=batches) == pytest.approx(2 / 3)
    assert conservation.isolated_labels_f1([np.array([0, 0, 1, 1])], labels=labels, batches=batches) == 1


def test_kmeans_and_leiden_find_clusters_that_lie_apart_and_find_them_again():
    example = make_example(separation=6, batch_effect=0)
    weights = connectivities(find_neighbors(example.embedding, number=15))
    for cluster in (
        lambda: conservation.cluster_kmeans(example.embedding, clusters=5),
        lambda: conservation.cluster_leiden(weights, resolutions=(0.2,))[0],
    ):
        clusters = cluster()
        pairs = {(label, number) for label, number in zip(example.labels, clusters, strict=True)}
        assert len(pairs) == 5
        assert (cluster() == clusters).all()


def test_lisi_counts_the_groups_around_a_cell():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(600, 3))
    found = find_neighbors(points, number=90)
    weights = neighbor_probabilities(found, perplexity=30)
    mixed = conservation.inverse_simpson(weights, found, rng.integers(0, 2, 600))
    apart = conservation.inverse_simpson(weights, found, np.where(points[:, 0] > 0, 1, 0))
    assert np.median(mixed) == pytest.approx(2, abs=0.1)
    assert apart.min() == pytest.approx(1)
    assert conservation.clisi(np.full(9, 1.0), groups=4) == 1
    assert conservation.clisi(np.full(9, 4.0), groups=4) == 0


def test_label_purity_averages_within_labels_first():
    points = np.array([[0.0], [0.1], [0.2], [9.0], [9.1]])
    found = find_neighbors(points, number=2)
    labels = np.array(list("aaaab"))  # neighbors of the a's: a, a, a, b; of the b: a
    assert conservation.knn_label_purity(found, labels) == pytest.approx((3 / 4 + 0) / 2)


def test_one_label_is_an_error():
    with pytest.raises(ValueError, match=r"only one group, \['a'\]"):
        conservation.silhouette_samples(np.ones((3, 2)), np.array(["a", "a", "a"]))
