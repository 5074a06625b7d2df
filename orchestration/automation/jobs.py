"""The jobs over the graph: the whole of it, and the parts that smaller changes ask for."""

import dagster as dg

from orchestration.automation.decision import Action
from orchestration.partitions import EVERY_BUCKET
from orchestration.queue import PIPELINE_TAG

READING = ("catalog", "tracks")
RUN_TAGS = {**EVERY_BUCKET, **PIPELINE_TAG}
PUBLISHING = ("embeddings", "index", "active_model")


refresh = dg.define_asset_job(
    Action.REFRESH.value,
    selection=dg.AssetSelection.all(),
    run_tags=RUN_TAGS,
    description="The whole graph in one run: catalogue, models, gate, embeddings, index. "
    "What has not changed is found instead of made again.",
)

extend = dg.define_asset_job(
    Action.EXTEND.value,
    selection=dg.AssetSelection.assets(*READING, "clips", *PUBLISHING),
    run_tags=RUN_TAGS,
    description="Tracks came, left, or have another file: their clips, their embeddings by the "
    "model in production, and the live index of their buckets. Nothing is trained.",
)

relabel = dg.define_asset_job(
    Action.RELABEL.value,
    # Without the gate: nothing is promoted here.
    selection=(
        dg.AssetSelection.assets(*READING, "clips", "evaluation", *PUBLISHING)
        - dg.AssetSelection.checks_for_assets("evaluation")
    ),
    run_tags=RUN_TAGS,
    description="Only what rows say has changed: the evaluation by the new labels, and the labels "
    "in the database. Nothing is decoded, trained or embedded.",
)

confirm = dg.define_asset_job(
    Action.CONFIRM.value,
    # Whatever `clips` finds, such as a file that can be read again, is published too.
    selection=dg.AssetSelection.assets(*READING, "clips", *PUBLISHING),
    run_tags=RUN_TAGS,
    description="Nothing has changed for days: read the manifest, remove what has been gone for "
    "longer than it is kept, and see that its version serves.",
)

promote = dg.define_asset_job(
    "promote",
    selection=(
        dg.AssetSelection.assets("evaluation", "production_model", *PUBLISHING)
        - dg.AssetSelection.checks_for_assets("evaluation")
    ),
    run_tags=RUN_TAGS,
    description="Evaluate the candidate, promote and publish it, by hand. With `force_reason` in "
    "the config of `production_model` even if the gate refuses; the reason is kept.",
)

PIPELINE = (refresh, extend, relabel, confirm, promote)
