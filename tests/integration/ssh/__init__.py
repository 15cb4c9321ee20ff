"""With a host behind a real sshd on loopback."""
