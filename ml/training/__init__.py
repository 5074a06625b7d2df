"""Training by competing triplet terms (paper, section 2.3): `session` is the way in."""
