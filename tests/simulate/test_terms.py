import pytest
from cellxgene_ontology_guide.ontology_parser import OntologyParser

from scprint2.simulate.designs import DESIGNS, find_design
from scprint2.simulate.terms import ASSAYS, CELL_TYPES, LABELS, ancestors

PARSER = OntologyParser()


@pytest.mark.parametrize("label", CELL_TYPES)
def test_a_cell_type_has_the_term_and_exactly_the_ancestors_of_the_cell_ontology(label):
    term = CELL_TYPES[label].term
    assert PARSER.get_term_label(term) == label
    slice_terms = {kind.term for kind in CELL_TYPES.values()}
    real = slice_terms & set(PARSER.get_term_ancestors(term))
    assert {CELL_TYPES[name].term for name in ancestors(label)} - {term} == real


@pytest.mark.parametrize("term", [term for term in LABELS if ":" in term])
def test_a_term_of_another_class_exists_and_has_its_label(term):
    assert not PARSER.is_term_deprecated(term)
    assert PARSER.get_term_label(term) == LABELS[term]


@pytest.mark.parametrize("label", ASSAYS)
def test_an_assay_has_its_term(label):
    assert PARSER.get_term_label(ASSAYS[label].term) == label


def test_no_cell_type_of_a_dataset_is_an_ancestor_of_another():
    used = {label for design in DESIGNS.values() for mix in design.tissues.values() for label in mix}
    assert not {(a, b) for a in used for b in used if a != b and a in ancestors(b)}


def test_labels_at_a_parent_term_are_true_ancestors():
    for design in DESIGNS.values():
        for label, parent in design.parent_labels.items():
            assert parent in ancestors(label)


def test_cell_types_of_the_annotation_tests_occur_in_a_training_set():
    def types(names):
        return {label for name in names for mix in DESIGNS[name].tissues.values() for label in mix}

    training = types(name for name, design in DESIGNS.items() if design.role == "train")
    assert types(["sim_lung", "sim_pancreas"]) <= training
    assert 10 <= len(types(["sim_lung", "sim_pancreas"])) <= 14


def test_an_unknown_dataset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"sim_lnug.*sim_lung"):
        find_design("sim_lnug")
