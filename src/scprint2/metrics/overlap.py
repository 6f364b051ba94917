"""How far known networks agree with each other."""

from collections.abc import Mapping
from itertools import permutations

import pandas as pd

COLUMNS = ("first", "second", "edges", "shared", "share", "comparable", "share_comparable", "expected", "fold")
Edges = frozenset[tuple[str, str]]


def compare_truths(truths: Mapping[str, Edges]) -> pd.DataFrame:
    """Compare each network with each other one, as directed edges between genes.

    Returns a row per ordered pair: `edges` of the first network, how many of them the second one has (`shared`), and their
    `share`. Most edges of the first could not stand in the second, since it looked at other genes: `comparable` are those from
    a source of the second to a gene of it, `share_comparable` is the shared ones among these. `expected` is the number that
    would be shared by chance among the edges from sources of both to genes of both, `fold` how many times more there are; no
    value where there is nothing to compare.

    Source: figure 5d.
    """
    rows = [_compare(first, second, truths) for first, second in permutations(truths, 2)]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def _compare(first: str, second: str, truths: Mapping[str, Edges]) -> tuple[object, ...]:
    one, other = truths[first], truths[second]
    sources = {edge[0] for edge in one} & {edge[0] for edge in other}
    genes = {gene for edge in one for gene in edge} & {gene for edge in other for gene in edge}
    comparable, theirs = (
        sum(source in sources and target in genes for source, target in edges) for edges in (one, other)
    )
    universe = len(sources) * len(genes) - len(sources & genes)
    shared = len(one & other)
    expected = comparable * theirs / universe if universe else None
    return (
        first,
        second,
        len(one),
        shared,
        shared / len(one),
        comparable,
        shared / comparable if comparable else None,
        expected,
        shared / expected if expected else None,
    )
