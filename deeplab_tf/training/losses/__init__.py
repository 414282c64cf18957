"""What is minimised, over the pixels that are not void."""
