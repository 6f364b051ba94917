"""The cards of the metrics as they are read."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from scprint2.pages import Page


def make_metrics_page(cards: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Page:
    """Make the page from the content of config/metrics.yaml: task to metric to card."""
    page = Page("Metrics", "what each means, which way is better, and what raises it without merit")
    for task, metrics in cards.items():
        page.heading(task.capitalize(), anchor=task)
        lines = [
            {
                "metric": name,
                "better": card["better"],
                "range": " to ".join("∞" if end is None else f"{end:g}" for end in card["range"]),
                "meaning": card["meaning"],
                "what raises it without merit": card["cheats"],
                "reference": card["reference"],
            }
            for name, card in metrics.items()
        ]
        page.table(pd.DataFrame(lines), name=f"metrics of {task}")
    return page
