"""What waits for what: the instance's settings (`dagster.yaml`) limit these to one at a time."""

PIPELINE_TAG = {"soundalike/queue": "pipeline"}
"""Run tag of the jobs that change models or the index."""

PIPELINE_POOL = "pipeline"
"""Pool of the assets, by which what people materialise by hand waits for those jobs too."""
