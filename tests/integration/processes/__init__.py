"""With child processes or servers on loopback."""
