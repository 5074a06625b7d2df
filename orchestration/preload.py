"""What step processes are forked with: importing these takes longer than many a step."""

import ml.promotion
import orchestration.definitions
import search.publication

__all__ = ["ml", "orchestration", "search"]
