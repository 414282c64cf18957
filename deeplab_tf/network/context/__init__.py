"""What gathers context from the encoder's map, by name."""
