from scprint2.data.assay_groups import OTHER, assay_groups, group_codes
from scprint2.data.ontology import label
from scprint2.data.vocabulary import LabelTable


def table(*, leaves, parents=()):
    members = tuple(tuple(range(len(leaves))) for _ in parents)
    return LabelTable(name="assay", leaves=leaves, parents=parents, members=members, names={})


def test_versions_of_a_protocol_are_one_group():
    names, codes = group_codes(table(leaves=("EFO:0009899", "EFO:0008931", "EFO:0009922")))
    assert names == ("10x_3prime", "smart")
    assert codes == (0, 1, 0)


def test_what_the_table_does_not_hold_is_a_group_of_its_own():
    names, codes = group_codes(table(leaves=("EFO:0008931", "assay:new")))
    assert [names[code] for code in codes] == ["smart", OTHER]


def test_parents_have_a_group_too():
    names, codes = group_codes(table(leaves=("EFO:0009899", "EFO:0009922"), parents=("EFO:0030003",)))
    assert (names, codes) == (("10x_3prime",), (0, 0, 0))


def test_every_term_is_one_of_the_ontology():
    assert all(label(term) != term for term in assay_groups())


def test_no_corpus_has_more_groups_than_a_coarse_grouping_should():
    assert len(set(assay_groups().values())) <= 26  # as many as the paper's runs had
