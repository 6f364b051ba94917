"""Gene tables, families and proteins of two organisms, by the workflow's rules, from files as their publishers write them."""

import gzip

import pandas as pd
import pytest
import yaml

from tests.data.test_protein_embeddings import proteins, tiny_esm2  # noqa: F401
from tests.workflow.project import ROOT, Project

pytestmark = pytest.mark.slow
HUMAN, MOUSE = "NCBITaxon:9606", "NCBITaxon:10090"
SPECIES = {HUMAN: ("homo_sapiens", "ENS"), MOUSE: ("mus_musculus", "ENSMUS")}
GENES = 40


def gene(prefix, number, kind="G"):
    return f"{prefix}{kind}{number:011d}"


def publish(folder, organism):
    """Write what Ensembl, NCBI and AnimalTFDB publish about an organism, and return its row of the registry."""
    species, prefix = SPECIES[organism]
    other, other_prefix = next(value for name, value in SPECIES.items() if name != organism)
    folder = folder / species
    folder.mkdir(parents=True)
    gtf, fasta, sequences = [], [], proteins(GENES, 30)["sequence"]
    homologies = [
        "gene_stable_id\tprotein_stable_id\tspecies\tidentity\thomology_type\thomology_gene_stable_id\thomology_protein_stable_id\t"
        "homology_species\thomology_identity\tdn\tds\tgoc_score\twga_coverage\tis_high_confidence\thomology_id"
    ]
    for number in range(GENES):
        ids = f'gene_id "{gene(prefix, number)}"; gene_version "3"; '
        rest = f'gene_name "{prefix}N{number}"; gene_source "havana"; gene_biotype "protein_coding";'
        place = f"1\thavana\t{{kind}}\t{1 + number * 15_000}\t{9_000 + number * 15_000}\t.\t+\t.\t"
        gtf.append(place.format(kind="gene") + ids + rest)
        gtf.append(
            f'{place.format(kind="transcript")}{ids}transcript_id "{gene(prefix, number, "T")}"; {rest} tag "Ensembl_canonical";'
        )
        for isoform, more in (("T", ""), ("U", "MKMKMKMKMKMKMK")):
            fasta.append(
                f">{gene(prefix, number, 'P' + isoform)}.1 pep chromosome:x:1:1:2:1 gene:{gene(prefix, number)}.3 "
                f"transcript:{gene(prefix, number, isoform)}.2 gene_biotype:protein_coding transcript_biotype:protein_coding\n"
                f"{sequences[number]}{more}"
            )
        fields = (
            gene(prefix, number),
            "P",
            species,
            "80",
            "ortholog_one2one",
            gene(other_prefix, number),
            "P",
            other,
            "90",
        )
        homologies.append("\t".join((*fields, "NULL", "NULL", "100", "99", "1" if number % 4 else "0", "1")))
    info = "#tax_id\tGeneID\tSymbol\tLocusTag\tSynonyms\tdbXrefs\n" + "".join(
        f"1\t1\tN{number}\t-\tOLD{number}\tEnsembl:{gene(prefix, number)}\n" for number in range(GENES)
    )
    files = {
        "genes": ("annotation.114.gtf.gz", "\n".join(gtf) + "\n"),
        "proteins": ("pep.all.fa.gz", "\n".join(fasta) + "\n"),
        "aliases": ("gene_info.gz", info),
        "transcription_factors": (
            "TF",
            f"Species\tSymbol\tEnsembl\tFamily\nx\tOLD7\tNA\tzf\nx\tx\t{gene(prefix, 3)}\tzf\n",
        ),
        "homologies": ("Compara.114.protein_default.homologies.tsv.gz", "\n".join(homologies) + "\n"),
    }
    row = {"organism": organism, "name": species, "species": species}
    for column, (name, text) in files.items():
        path = folder / (name if name.startswith("Compara") else f"{species}.{name}")
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        row[column] = f"file://{path}"
    return row


@pytest.fixture
def published(project: Project, tmp_path) -> Project:
    """A project whose scale downloads the references of two organisms from a folder."""
    rows = [publish(tmp_path / "publishers", organism) for organism in SPECIES]
    pd.DataFrame(rows).to_csv(project / "config/two_organisms.tsv", sep="\t", index=False)
    datasets = "name\torganism\turl\troles\n" + "".join(
        f"{row['name']}\t{row['organism']}\thttps://nowhere.invalid/x.h5ad\tcurated\n" for row in rows
    )
    (project / "config/two_datasets.tsv").write_text(datasets)
    scale = yaml.safe_load((ROOT / "config/scales/paper.yaml").read_text())
    scale |= {
        "registry": "config/two_datasets.tsv",
        "organisms": "config/two_organisms.tsv",
        "gene_embedding": "results/two/gene_embedding.parquet",
    }
    (project / "config/scales/two.yaml").write_text(yaml.safe_dump(scale))
    return project


def test_gene_tables_families_and_proteins_are_built_from_published_files(published):
    targets = [f"results/two/genes/{organism.replace(':', '_')}.tsv" for organism in SPECIES]
    targets += [target.replace("genes", "proteins") for target in targets]
    published.run(*targets, "--config", "scale=two")
    human, mouse = (pd.read_csv(published / target, sep="\t") for target in targets[:2])
    assert human["location"].tolist() == list(range(GENES))
    assert human.loc[human["is_tf"] == 1, "gene_id"].tolist() == [gene("ENS", 3), gene("ENS", 7)]
    assert human["aliases"][5] == "N5|OLD5"
    shared = set(human["family"]) & set(mouse["family"])
    assert len(shared) == GENES * 3 // 4, "a quarter of the pairs is of low confidence"
    audit = pd.read_csv(published / "results/two/genes/orthologs.tsv", sep="\t")
    assert audit[["pairs", "joined", "refused", "families"]].to_numpy().tolist() == [[30, 30, 0, 30]]
    table = pd.read_csv(published / targets[2], sep="\t")
    assert set(table["chosen"]) == {"canonical"}
    assert table["sequence"].tolist() == proteins(GENES, 30)["sequence"].tolist()
    assert (published / "resources/two/genes/mus_musculus.Compara.114.protein_default.homologies.tsv.gz").is_file()


def test_the_table_of_vectors_is_made_by_the_model_of_the_configuration(published, tiny_esm2):  # noqa: F811
    target = "results/two/gene_embedding.parquet"
    published.run(target, "--config", "scale=two", f"protein_model={tiny_esm2}")
    vectors = pd.read_parquet(published / target)
    assert vectors.shape == (2 * GENES, 32)
    plan = published.plan(target, "--config", "scale=two", f"protein_model={tiny_esm2}")
    assert plan == {}
    other = published.plan("results/two/gene_embedding.parquet", "--config", "scale=two", "--forceall")
    assert (other["download_protein_model"], other["embed_proteins"]) == (5, 2)
