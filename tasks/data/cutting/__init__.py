"""Cut a long recording into rows: align its transcript, and find pauses between its words."""
