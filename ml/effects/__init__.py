"""The effects chain f of the paper (section 2.3): drawn per clip, then applied as a pure function.

`chain` applies it to the sound, `magnitudes` to the magnitudes of its frames; both take what
`parameters` draws.
"""
