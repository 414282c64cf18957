"""From pictures to labels, and labels to pictures."""
