"""The job that takes a track down from the UI."""

import dagster as dg

from orchestration.failures import explain_failures
from orchestration.metadata import show_table
from orchestration.resources import Services


class TakedownConfig(dg.Config):
    """Which track to take down."""

    track_id: str
    reason: str = ""
    undo: bool = False


@dg.op
@explain_failures
def take_track_down(
    context: dg.OpExecutionContext, config: TakedownConfig, services: Services
) -> None:
    """Take a track down and show the proof, or with `undo` only lift it from the denylist."""
    import pandas as pd

    from search.proofs import proof_path, require_complete
    from search.takedown import lift_takedown, take_down

    workspace = services.workspace
    with services.open_database() as database:
        if config.undo:
            lifted = lift_takedown(database, workspace, config.track_id)
            context.add_output_metadata({"was_on_the_denylist": lifted})
            return
        proof = take_down(
            database, services.open_registry, workspace, config.track_id, config.reason
        )
    context.add_output_metadata(
        {
            "denied_at": proof.denied_at,
            **({"doubt": proof.doubt} if proof.doubt else {}),
            "deletions": show_table(pd.DataFrame(proof.deletions)),
            "not_done": show_table(pd.DataFrame(proof.failures)),
            "checks": show_table(pd.DataFrame(proof.checks)),
            "proof": dg.MetadataValue.path(str(proof_path(workspace, config.track_id))),
        }
    )
    require_complete(proof)


@dg.job(
    description="Take a track down: unsearchable at once, everything made of it deleted, its id "
    "on the denylist. Launch it with its track_id and a reason; it waits for no other run."
)
def takedown() -> None:
    """Take one track down."""
    take_track_down()
