import gzip
import json
import os
import subprocess
import sys

import pytest

from scprint2.data.ontology_sources import ontology, read_obo
from tests.data.raw import real_data

OBO = """format-version: 1.2
data-version: cl/2031-01-01/cl.obo

[Term]
id: CL:0000000
name: cell

[Term]
id: CL:0000084
name: T cell
synonym: "T lymphocyte" EXACT []
synonym: "CD3 cell" RELATED []
is_a: CL:0000542 {is_inferred="true"} ! lymphocyte
relationship: part_of UBERON:0000178 ! blood

[Term]
id: CL:0000542
name: lymphocyte
is_a: CL:0000000 ! cell
is_a: BFO:0000002 ! continuant

[Term]
id: CL:0000001
name: obsolete thing
is_obsolete: true
replaced_by: CL:0000084

[Term]
id: CL:0000004
name: obsolete things
is_obsolete: true
consider: CL:0000084
consider: CL:0000542

[Term]
id: GO:0000001
name: of another ontology

[Typedef]
id: part_of
name: part of
"""


def write(folder, text=OBO, name="cl.obo"):
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["cl.obo", "cl.obo.gz"])
def test_an_obo_file_gives_the_terms_of_its_prefix(tmp_path, name):
    source = read_obo(write(tmp_path, name=name), prefix="CL")
    assert set(source.terms) == {"CL:0000000", "CL:0000084", "CL:0000542", "CL:0000001", "CL:0000004"}
    assert source.ancestors("CL:0000084") == {"CL:0000542", "CL:0000000"}
    assert source.names["t cell"] == ("CL:0000084",)
    assert source.synonyms == {"t lymphocyte": ("CL:0000084",)}
    assert "obsolete thing" not in source.names
    assert source.source == f"{name} cl/2031-01-01/cl.obo"
    retired = source.terms["CL:0000001"]
    assert (retired.retired, retired.replaced, retired.successors) == (True, True, ("CL:0000084",))
    assert (source.terms["CL:0000004"].replaced, len(source.terms["CL:0000004"].successors)) == (False, 2)


def test_a_file_without_the_ontology_or_no_file_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"cl.obo: holds no term of UBERON"):
        read_obo(write(tmp_path), prefix="UBERON")
    with pytest.raises(ValueError, match="there is no such file"):
        read_obo(tmp_path / "no.obo", prefix="CL")


def test_an_ontology_that_nobody_has_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"no ontology 'NOPE'; known are .*'CL'.*Pin an OBO file"):
        ontology("NOPE")


def test_a_pinned_file_takes_the_place_of_the_ontology_everywhere(tmp_path):
    code = "from scprint2.data.ontology import ancestors, find_name, label; print(label('CL:0000084'), "
    code += "sorted(ancestors('CL:0000084')), find_name('CL', 'CD4-positive, alpha-beta T cell').status, label('PATO:0000461'))"
    pinned = json.dumps({"CL": str(write(tmp_path))})
    environment = os.environ | {"SCPRINT2_ONTOLOGIES": pinned}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "T cell ['CL:0000000', 'CL:0000542'] unknown normal"


@pytest.mark.parametrize("text", ["cl.obo", "[1]", '{"CL": 1}'])
def test_a_malformed_list_of_pinned_files_is_refused(monkeypatch, text):
    monkeypatch.setenv("SCPRINT2_ONTOLOGIES", text)
    ontology.cache_clear()
    with pytest.raises(ValueError, match="SCPRINT2_ONTOLOGIES is"):
        ontology("CL")


@pytest.mark.real_data
def test_a_real_obo_file_agrees_with_the_guide_on_what_both_have():
    """The file is seven years older, so terms moved; most lines of descent are the same."""
    old, new = read_obo(real_data() / "ontologies/cl.obo.gz", prefix="CL"), ontology("CL")
    assert len(old.terms) > 2_000
    assert {"CL:0000542", "CL:0000000"} <= old.ancestors("CL:0000084")
    both = [
        term for term in old.terms if term in new.terms and not old.terms[term].retired and not new.terms[term].retired
    ]
    assert len(both) > 1_800
    assert sum(old.terms[term].name == new.terms[term].name for term in both) / len(both) > 0.8
    kept = [len(old.ancestors(term) & new.ancestors(term)) / max(len(old.ancestors(term)), 1) for term in both]
    assert sum(kept) / len(kept) > 0.6
