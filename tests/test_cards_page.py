import pandas as pd

from scprint2.cards import find_card, summarize_card, write_cards_page

CARD = {
    "range": [0, None],
    "better": "higher",
    "meaning": "Odds.",
    "cheats": "Luck & more.",
    "reference": "x",
    "code": "scprint2.a.b",
}
CARDS = {"networks": {"auprc": {**CARD, "meaning": "Area."}, "auprc_tail": CARD}}


def test_the_card_of_a_metric_is_found_through_its_part_and_its_method():
    assert find_card(CARDS, "networks", "auprc:unseen")["meaning"] == "Area."
    assert find_card(CARDS, "networks", "auprc_mean_attention")["meaning"] == "Area."
    assert find_card(CARDS, "networks", "auprc_tail_mean_attention")["meaning"] == "Odds.", "the longest name that fits"


def test_a_card_in_a_few_sentences():
    text = "auprc: Odds. 0 to ∞, higher is better. What raises it without merit: Luck & more."
    assert summarize_card("auprc", CARD) == text


def test_the_page_has_every_card_with_its_drift(tmp_path):
    drift = pd.DataFrame([("networks", "auprc", 3e-8)], columns=["task", "metric", "tolerance"])
    write_cards_page(CARDS, str(tmp_path / "metrics.html"), drift=drift)
    page = (tmp_path / "metrics.html").read_text()
    for text in ("Area.", "Luck &amp; more.", "3e-08", "not measured", "0 to ∞, higher is better", "x; a.\u200bb"):
        assert text in page
