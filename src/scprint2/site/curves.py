"""The table beside the score curves: what their rows reach at an equal budget of training."""

import pandas as pd

from scprint2.pages import Link
from scprint2.site.rows import row_page_place
from scprint2.table_page import name_columns

UNITS = {"cells": "cells seen", "seconds": "s of training"}


def lay_out_equal_budget(compared: pd.DataFrame) -> pd.DataFrame:
    """Lay out what `scprint2.equal_budget.read_equal_budget` reads."""
    names = name_columns(list(dict.fromkeys(compared["column"])))
    amounts = zip(compared["amount"], compared["budget"], strict=True)
    return pd.DataFrame(
        {
            "column": [names[column] for column in compared["column"]],
            "budget": ["–" if pd.isna(amount) else f"{amount:,.10g} {UNITS[unit]}" for amount, unit in amounts],
            "row": [Link(row, row_page_place(row)) for row in compared["variant"]],
            "seeds": compared["seeds"].tolist(),
            "score": compared["score"].tolist(),
            "standard deviation": compared["sd"].tolist(),
            "read at": compared["points"].tolist(),
            "lowest control": compared["controls_low"].tolist(),
            "highest control": compared["controls_high"].tolist(),
        }
    )
