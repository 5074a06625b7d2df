"""The demo catalogue: music that this program makes up, so that nothing is downloaded or copied.

A track is planned (`songs`), written note by note (`composition`), played on synthesised
instruments (`tones`, `drums`) and produced as its artist produces records (`mixing`). Genre
decides rhythm, tempo, harmony and form of accompaniment; mood bends scale, tempo, density and
brightness; the artist's equaliser, room, noise and loudness are a nuisance on top, so that
averages of the spectrum say less about a genre than its music does.
"""

from ml.samples.catalogue import MANIFEST, SampleSettings, write_samples
from ml.samples.rows import COLUMNS

__all__ = ["COLUMNS", "MANIFEST", "SampleSettings", "write_samples"]
