"""What a user would try instead of a foundation model, and controls: floors that a model must leave behind.

A baseline has the signature of its task's prediction, with the corpus' training cells in the place of the model. Its name in
`BASELINES` is the `variant` of its scores; its title stands in `config/tasks.yaml`.
"""

from collections.abc import Callable, Mapping

from anndata import AnnData

from scprint2.baselines import annotate, denoise, embed, networks

BASELINES: Mapping[str, Mapping[str, Callable[..., AnnData]]] = {
    "denoise": {
        "identity": denoise.identity,
        "mean_profile": denoise.mean_profile,
        "magic": denoise.magic,
        "knn_smoothing": denoise.knn_smoothing,
        "scvi_denoising": denoise.scvi_denoising,
        "random_profiles": denoise.random_profiles,
        "shuffled_profiles": denoise.shuffled_profiles,
    },
    "embed": {
        "pca": embed.pca,
        "highly_variable_genes": embed.highly_variable_genes,
        "harmony": embed.harmony,
        "scvi_embedding": embed.scvi_embedding,
        "random_embedding": embed.random_embedding,
        "shuffled_pca": embed.shuffled_pca,
    },
    "annotate": {
        "majority": annotate.majority,
        "knn": annotate.knn,
        "logistic_regression": annotate.logistic_regression,
        "celltypist_style": annotate.celltypist_style,
        "random_calls": annotate.random_calls,
        "shuffled_calls": annotate.shuffled_calls,
    },
    "networks": {
        "pearson": networks.pearson,
        "spearman": networks.spearman,
        "genie3": networks.genie3,
        "expression_prior": networks.expression_prior,
        "regulator_prior": networks.regulator_prior,
        "random_regulators": networks.random_regulators,
        "shuffled_pearson": networks.shuffled_pearson,
    },
}
