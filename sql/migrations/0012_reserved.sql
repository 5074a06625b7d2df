-- Keeps the numbers without a gap until the changes that have this one are merged.
SELECT;
