"""The desk's words, each explained once. The page /desk/words lists them, and pages link there."""

from typing import NamedTuple


class Word(NamedTuple):
    """A word as pages show it, and what it means."""

    shown: str
    meaning: str


WORDS = {
    "churn": Word(
        "leave",
        "To leave means to be silent: without any activity for the whole horizon, 30 days by"
        " default. The product calls it churn.",
    ),
    "risk": Word(
        "risk",
        "The probability that a user will leave. Of 100 users with a risk of 30 %, about 30 leave.",
    ),
    "band": Word(
        "band",
        "High, medium or low, by fixed limits on the risk. Gone: not eligible any more.",
    ),
    "eligible": Word(
        "eligible",
        "Active in the last 30 days (the domain may set another number). Who was silent for"
        " longer is gone: no risk has to be predicted any more.",
    ),
    "gone": Word(
        "gone",
        "Silent for so long that nobody has to predict it: not eligible any more.",
    ),
    "holdout": Word(
        "holdout",
        "A small share of users, chosen by chance, whom nobody should contact. Comparing with"
        " them shows what contacts really change. They are on no list.",
    ),
    "newly_at_risk": Word(
        "newly at risk",
        "In the band high now and not a week ago, or in the band medium with a risk that rose by"
        " half.",
    ),
    "came_back": Word(
        "came back",
        "Gone a week ago and active again, or in the band high a week ago and in a lower one now.",
    ),
    "waiting": Word(
        "still waiting",
        "Contacted during the pause after a contact (30 days by default) or snoozed. They are not"
        " listed again before that ends, unless they come back first.",
    ),
    "worth": Word(
        "worth",
        "What a user brings who stays, by the domain's own rule. It has the domain's currency.",
    ),
    "expected_loss": Word(
        "expected loss",
        "Risk times worth: what is lost on average if nobody acts.",
    ),
    "expected_gain": Word(
        "expected gain",
        "What a contact brings on average: expected loss times the save rate, less what the"
        " contact costs. Below zero, a contact costs more than it brings.",
    ),
    "drawn": Word(
        "drawn at random",
        "A place on the list that chance decided (explore_share), not the order: only with such"
        " places can anybody learn whether another list would earn more.",
    ),
    "save_rate": Word(
        "save rate",
        "The share of users about to leave whom a contact keeps. It begins as the domain's"
        " guess and is learned from contacts and the holdout.",
    ),
    "interval": Word(
        "interval",
        "From the lower to the upper number lies the true value in 19 of 20 cases.",
    ),
    "precision": Word(
        "precision at the top",
        "The share of the riskiest users, as many as the list has, who really left. Precision at"
        " 50 counts the riskiest 50.",
    ),
    "psi": Word(
        "PSI",
        "Population stability index: how far the values of a feature moved from those that the"
        " model learned from. Below 0.1 little, above 0.25 much.",
    ),
    "drift": Word(
        "drift",
        "Values that move away from those that the model learned from. Then its risks may be"
        " wrong.",
    ),
    "average_precision": Word(
        "average precision",
        "How well the order by risk puts those who leave first: 1 is perfect.",
    ),
    "roc_auc": Word(
        "ROC AUC",
        "How often a user who leaves has a higher risk than one who stays: 1 is always, 0.5 is"
        " chance.",
    ),
    "lift": Word(
        "lift, top tenth",
        "How many times more users leave among the riskiest tenth than among all.",
    ),
    "log_loss": Word(
        "log loss",
        "How wrong the risks are; confident mistakes count most. Smaller is better.",
    ),
    "brier": Word(
        "Brier",
        "The mean squared difference between risk and outcome. Smaller is better.",
    ),
    "calibration": Word(
        "calibration error",
        "How far the risks are from the shares that really leave, on average. Smaller is better.",
    ),
    "feature": Word(
        "feature",
        "Something the model looks at, such as the days since the last activity.",
    ),
}
