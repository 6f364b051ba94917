import networkx
import pytest

from scprint2.data.ontology import (
    Match,
    age_group,
    age_groups,
    ancestors,
    build_label_table,
    clean_term,
    find_name,
    label,
    most_specific,
)

T_CELL, CD4, CD8, B_CELL, NEURON, RETINAL_GANGLION = (
    "CL:0000084", "CL:0000624", "CL:0000625", "CL:0000236", "CL:0000540", "CL:0000740",
)  # fmt: skip


def test_ancestors_and_names_are_those_of_the_cell_ontology():
    assert {T_CELL, "CL:0000542"} <= ancestors(CD4)
    assert CD4 not in ancestors(CD4)
    assert label(CD4) == "CD4-positive, alpha-beta T cell"
    assert label("NCBITaxon:10090") == "Mus musculus"
    assert label("CL:9999999") == "CL:9999999"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("CL:0000084", "CL:0000084"),
        ("CL:0000663", "CL:1000147"),  # retired, with a successor
        ("HsapDv:0000087", "unknown"),  # retired, without one
        ("CL:9999999", "unknown"),
        ("na", "unknown"),
        ("", "unknown"),
        ("nan", "unknown"),
        ("7", "unknown"),
        ("ZFS:0000044", "ZFS:0000044"),  # kept in the file of ZFA
        ("AfPO:0000145", "AfPO:0000145"),  # kept in the file of HANCESTRO
        ("PATO:0000461", "PATO:0000461"),
        ("CVCL_0004", "unknown"),
        ("NCBITaxon:9606", "NCBITaxon:9606"),
    ],
)
def test_terms_are_cleaned(given, expected):
    assert clean_term(given) == expected


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (["MONDO:0004992", "MONDO:0005061"], "MONDO:0005061"),  # cancer, lung adenocarcinoma
        (["HANCESTRO:0005", "HANCESTRO:0014"], "unknown"),  # not in one line
        (["HANCESTRO:0005", "unknown"], "HANCESTRO:0005"),
        ([], "unknown"),
    ],
)
def test_the_most_specific_of_one_line_of_descent_is_found(terms, expected):
    assert most_specific(terms) == expected


@pytest.mark.parametrize(
    ("stage", "group"),
    [
        ("HsapDv:0000149", "HsapDv:0000267"),  # 55 years
        ("MmusDv:0000063", "HsapDv:0000266"),  # mouse, 3 months
        ("MmusDv:0000091", "HsapDv:0000227"),  # mouse, 20 months
        ("HsapDv:0000046", "HsapDv:0000037"),  # 9th week after fertilization
        ("HsapDv:0000087", "HsapDv:0000258"),  # retired "adult stage"
        ("HsapDv:0000094", "HsapDv:0000227"),  # retired "65-79 year-old stage"
        ("MmusDv:0000050", "HsapDv:0000266"),  # retired "6 weeks"
        ("unknown", "unknown"),
        ("nan", "unknown"),
    ],
)
def test_stages_of_humans_and_mice_fall_into_common_age_groups(stage, group):
    assert age_group(stage) == group


def test_every_stage_of_the_table_of_age_groups_is_in_use_and_every_group_is_its_own():
    groups = age_groups()
    assert all(clean_term(term) == term for term in groups)
    assert all(groups[group] == group for group in groups.values())
    for narrow, wide in [(a, b) for a in groups for b in groups if b in ancestors(a)]:
        assert list(groups).index(narrow) < list(groups).index(wide), "the first that applies counts"


def test_a_label_with_descendants_among_the_labels_is_a_parent():
    table = build_label_table("cell_type", [T_CELL, CD4, CD8, NEURON])
    assert set(table.leaves) == {CD4, CD8, NEURON}
    assert T_CELL in table.parents
    members = {
        parent: {table.leaves[leaf] for leaf in leaves}
        for parent, leaves in zip(table.parents, table.members, strict=True)
    }
    assert members[T_CELL] == {CD4, CD8}
    assert table.codes[CD4] < len(table.leaves) <= table.codes[T_CELL]


def test_other_ancestors_need_two_leaves_and_a_set_of_leaves_of_their_own():
    table = build_label_table("cell_type", [T_CELL, CD4, CD8, B_CELL, NEURON, RETINAL_GANGLION, "CL:0000127"])
    assert "CL:0000542" in table.parents  # lymphocyte: three leaves
    assert len(set(table.members)) == len(table.members)
    for parent, leaves in zip(table.parents, table.members, strict=True):
        assert len(leaves) >= 2 or parent in {T_CELL, NEURON}
        # no descendant of the parent that is no label has the same leaves
        rivals = [term for leaf in leaves for term in ancestors(table.leaves[leaf]) if parent in ancestors(term)]
        for rival in rivals:
            below = {code for code, leaf in enumerate(table.leaves) if rival in ancestors(leaf)}
            assert parent in {T_CELL, NEURON} or below != set(leaves) or rival not in table.parents


def test_membership_is_reachability_in_the_ontology_graph():
    terms = [T_CELL, CD4, CD8, B_CELL, RETINAL_GANGLION, "CL:0000604", "CL:0000127", "CL:0000066"]
    table = build_label_table("cell_type", terms)
    from cellxgene_ontology_guide.ontology_parser import OntologyParser

    graph, seen, parser = networkx.DiGraph(), set(), OntologyParser()
    queue = list(terms)
    while queue:
        term = queue.pop()
        if term not in seen:
            seen.add(term)
            graph.add_node(term)
            for parent in parser.get_term_parents(term):
                graph.add_edge(term, parent)
                queue.append(parent)
    for parent, leaves in zip(table.parents, table.members, strict=True):
        expected = {code for code, leaf in enumerate(table.leaves) if networkx.has_path(graph, leaf, parent)}
        assert set(leaves) == expected, parent


@pytest.mark.parametrize("name", ["sex", "organism"])
def test_sex_and_organism_have_no_parents(name):
    table = build_label_table(name, ["PATO:0000383", "PATO:0000384", "unknown"])
    assert table.leaves == ("PATO:0000383", "PATO:0000384")
    assert table.parents == ()


def test_no_labels_make_an_empty_table():
    assert build_label_table("cell_type", ["unknown"]).leaves == ()


def test_a_label_table_does_not_depend_on_the_order_of_terms():
    terms = [T_CELL, CD4, B_CELL, NEURON]
    assert build_label_table("cell_type", terms) == build_label_table("cell_type", terms[::-1] + terms)


def test_names_lead_to_terms_in_use():
    assert find_name("EFO", "10x 3' v2") == Match("EFO:0009899", "mapped", "name")
    assert find_name("UBERON", " Blood ") == Match("UBERON:0000178", "mapped", "name")
    assert find_name("CL", "type II pneumocyte") == Match("CL:0002063", "mapped", "synonym")
    assert find_name("EFO", "nuc-seq") == Match("unknown", "ambiguous", "name")
    assert find_name("CL", "obsolete immortal cell line cell") == Match("unknown", "unknown")
