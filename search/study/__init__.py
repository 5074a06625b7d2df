"""The listening study: blinded, level-matched ratings of what several systems find."""
