"""What to label next, and what to label again: selection, pre-labels, suspects."""
