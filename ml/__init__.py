"""Music similarity: audio in, an encoder, embeddings and their evaluation out."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # here, since MLflow asks when imported
