"""Our scIB parts against scib-metrics on the same neighbors, and the classic ones against scib."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scprint2.metrics.embedding import score_embedding
from scprint2.metrics.neighbors import Neighbors, connectivities, find_neighbors
from tests.metrics.example import Example, make_example

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # JAX compiles for minutes


@pytest.fixture(scope="module", autouse=True)
def _jax_on_cpu():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_PLATFORMS", "cpu")
        yield


@pytest.fixture(scope="module", params=[0.5, 3], ids=["overlapping", "apart"])
def example(request) -> Example:
    return make_example(separation=request.param)


@pytest.fixture(scope="module")
def ours(example) -> dict[str, float | None]:
    scores = score_embedding(example.embedding, labels=example.labels, batches=example.batches)
    return {name: score.value for name, score in scores.items()}


@pytest.fixture(scope="module")
def found(example) -> Neighbors:
    return find_neighbors(example.embedding, number=90)


def test_every_part_but_kmeans_equals_scib_metrics(example, ours, found):
    library = pytest.importorskip("scib_metrics")
    results = pytest.importorskip("scib_metrics.nearest_neighbors").NeighborsResults
    near = {
        n: results(indices=found.indices[:, :n], distances=found.distances[:, :n].astype(np.float32))
        for n in (15, 50, 90)
    }
    points, labels, batches = example.embedding, example.labels, example.batches
    theirs = {
        "isolated_labels": library.isolated_labels(points, labels, batches),
        "silhouette_label": library.silhouette_label(points, labels),
        "clisi": library.clisi_knn(near[90], labels),
        "bras": library.bras(points, labels, batches),
        "ilisi": library.ilisi_knn(near[90], batches),
        "kbet_per_label": library.kbet_per_label(near[50], batches, labels),
        "graph_connectivity": library.graph_connectivity(near[15], labels),
        "silhouette_batch": library.silhouette_batch(points, labels, batches),
    }
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(float(value), abs=1e-5), name


def test_kmeans_and_leiden_agree_with_scib_metrics_as_far_as_its_start_allows(example, ours, found):
    library = pytest.importorskip("scib_metrics")
    results = pytest.importorskip("scib_metrics.nearest_neighbors").NeighborsResults
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    draws = [library.utils.KMeans(5, seed=seed).fit(example.embedding.copy()) for seed in range(8)]
    best = min(draws, key=lambda draw: draw.inertia_).labels_  # ours is the best of ten starts too
    assert ours["nmi_kmeans"] == pytest.approx(normalized_mutual_info_score(example.labels, best), abs=0.03)
    assert ours["ari_kmeans"] == pytest.approx(adjusted_rand_score(example.labels, best), abs=0.03)
    near = results(indices=found.indices[:, :15], distances=found.distances[:, :15].astype(np.float32))
    leiden = library.nmi_ari_cluster_labels_leiden(near, example.labels)
    assert ours["nmi_leiden"] == pytest.approx(leiden["nmi"], abs=0.03)
    assert ours["ari_leiden"] == pytest.approx(leiden["ari"], abs=0.05)


def test_the_classic_parts_equal_scib(example, ours, found):
    library = pytest.importorskip("scib.metrics")
    cells = AnnData(
        np.zeros((len(example.labels), 1), dtype=np.float32),
        obs=pd.DataFrame({"label": pd.Categorical(example.labels), "batch": pd.Categorical(example.batches)}),
        obsm={"X": example.embedding.astype(float)},
        obsp={"connectivities": connectivities(found.nearest(15))},
    )
    cells.obs_names = cells.obs_names.astype(str)
    cells.uns["neighbors"] = {"connectivities_key": "connectivities"}
    theirs = {
        "silhouette_label": library.silhouette(cells, "label", "X"),
        "silhouette_batch": library.silhouette_batch(cells, "batch", "label", "X", verbose=False),
        "isolated_labels": library.isolated_labels_asw(cells, "label", "batch", "X", verbose=False),
        "graph_connectivity_symmetric": library.graph_connectivity(cells, "label"),
    }
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(float(value), abs=1e-5), name
