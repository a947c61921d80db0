"""Everything moves and something dies all the time, in real processes."""
