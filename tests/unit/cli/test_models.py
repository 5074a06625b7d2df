"""What `soundalike evaluate` says beside its tables."""

from cli.models import describe_details
from ml.evaluation.scores import ScoreRow


def test_details_name_the_spread_and_what_search_will_feel_like() -> None:
    row = ScoreRow(
        encoder="[a]",
        protocol="full",
        annotation="genre",
        map=0.5,
        low=0.4,
        high=0.6,
        chance=0.25,
        n=6,
        spread=0.0125,
        details={"precision_at_10": 0.75, "hubness_skew": 1.5},
    )
    assert describe_details([row]) == [
        "[a], genre (full): spread of draws 0.0125, precision at 10 0.7500, hubness skew 1.5000"
    ]
