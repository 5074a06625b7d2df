"""What the columns of our tables mean, for the pages of the assets that make them."""

import dagster as dg
import pandas as pd

MEANINGS = {
    "track_id": "The manifest's id of the track; its hash decides bucket and split.",
    "path": "The track's file, absolute or a URL.",
    "title": "As the manifest says.",
    "artist": "As the manifest says.",
    "album": "As the manifest says.",
    "genres": "The manifest's `genre`, split at |.",
    "moods": "The manifest's `mood`, split at |.",
    "digest": "SHA-256 of the id; names the track's files in the audio store.",
    "bucket": "0 to 99, by the digest: the partition.",
    "split": "Buckets 0-79 train, 80-89 validation, 90-99 test.",
    "start": "Where the clip of ten seconds begins, in samples at 16 kHz.",
    "samples": "Length of the whole track, in samples at 16 kHz.",
    "fingerprint": "Size and time of the file, or its ETag, with the settings of decoding.",
    "content": "Digest of the file's bytes: whether it has really changed.",
}
OTHER = "A column of the manifest, kept as it is."


def describe_columns(frame: pd.DataFrame) -> dg.TableSchema:
    """Say of a table's columns what they are called, hold and mean."""
    return dg.TableSchema(
        [
            dg.TableColumn(str(name), str(kind), MEANINGS.get(str(name), OTHER))
            for name, kind in frame.dtypes.items()
        ]
    )
