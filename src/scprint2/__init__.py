"""The scPRINT-2 benchmark: which part of a single-cell foundation model actually helps?"""

__version__ = "0.1.0"

# Raised by hand whenever the numbers a training produces change; every training rule depends on it (golden losses guard it).
MODEL_REVISION = 2

# Raised by hand whenever the predictions or scores of the same model change; no table mixes two of them (golden scores guard it).
SCORE_REVISION = 2
