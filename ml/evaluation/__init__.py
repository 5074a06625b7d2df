"""How good an encoder is (paper, section 3.1): `protocols` is the way in."""
