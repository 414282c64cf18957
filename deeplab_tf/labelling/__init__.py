"""What to label next: uncertainty, selection, and labels to begin with."""
