import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from scprint2.simulate import DESIGNS, SimulationSettings, build_world, simulate_dataset


def expression_of_shared_genes(datasets):
    shared = sorted(set.intersection(*(set(adata.var_names) for adata in datasets.values())))
    found = {}
    for name, adata in datasets.items():
        source = adata if adata.raw is None else adata.raw.to_adata()
        counts = sp.csr_matrix(source[:, shared].X).toarray()
        found[name] = np.log1p(1e3 * counts / np.maximum(counts.sum(1, keepdims=True), 1))
    return found


def test_cell_types_carry_over_to_new_donors_although_batches_differ():
    world = build_world(SimulationSettings(seed=7, cell_share=0.5))
    names = ("sim_blood", "sim_gut", "sim_lung", "sim_pancreas")
    datasets = {name: simulate_dataset(world, name) for name in names}
    expression = expression_of_shared_genes(datasets)
    leaves = {label for name in names for mix in DESIGNS[name].tissues.values() for label in mix}
    labels = {name: adata.obs["cell_type"].to_numpy(dtype=str) for name, adata in datasets.items()}
    train_x = np.concatenate([expression[name] for name in names[:2]])
    train_y = np.concatenate([labels[name] for name in names[:2]])
    known = np.isin(train_y, list(leaves))
    model = LogisticRegression(C=0.1, max_iter=200).fit(train_x[known], train_y[known])
    for name in names[2:]:
        is_known = labels[name] != "unknown"
        assert model.score(expression[name][is_known], labels[name][is_known]) > 0.8
        batch = datasets[name].obs["library_id"].to_numpy(dtype=str)
        components = PCA(10, random_state=0).fit_transform(expression[name])
        accuracy = cross_val_score(KNeighborsClassifier(10), components, batch, cv=3).mean()
        assert accuracy > 0.6  # a quarter would be chance
